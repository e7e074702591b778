use proptest::prelude::*;

use super::*;

fn project() -> ProjectName {
    ProjectName::default()
}

fn new(project: Option<ProjectName>, scopes: &[Scope]) -> Result<NewToken, Invalid> {
    NewToken::new(project, "ci".parse().expect("a name"), scopes.to_vec(), None)
}

#[test]
fn the_form_is_fixed() {
    let zero = TokenText::of([0; 32]);
    assert_eq!(zero.expose(), format!("slw_{}4KXMLM", "0".repeat(43)));
    let most = TokenText::of([0xff; 32]);
    assert_eq!(most.expose().len(), 53);
    assert_eq!(
        &most.expose()[4..47],
        "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"
    );
}

#[test]
fn a_token_is_not_shown_by_accident() {
    let token = TokenText::of([7; 32]);
    assert!(!format!("{token:?}").contains(&token.expose()[4..]));
}

#[test]
fn administrators_have_no_project_and_others_have_one() {
    assert!(new(None, &[Scope::Admin]).is_ok());
    assert!(new(Some(project()), &[Scope::ProjectAdmin]).is_ok());
    assert!(new(Some(project()), &[Scope::Admin]).is_err());
    assert!(new(None, &[Scope::BuildsRead]).is_err());
    assert!(new(Some(project()), &[]).is_err());
    let twice = [Scope::BuildsWrite, Scope::BuildsRead, Scope::BuildsWrite];
    let token = new(Some(project()), &twice).expect("it is one");
    assert_eq!(token.scopes(), [Scope::BuildsRead, Scope::BuildsWrite]);
}

proptest! {
    #[test]
    fn a_token_is_read_as_it_was_written(random in any::<[u8; 32]>()) {
        let text = TokenText::of(random);
        let read: TokenText = text.expose().parse().expect("it is one");
        prop_assert_eq!(read.sha256(), text.sha256());
        prop_assert!(text.expose().len() == 53 && text.expose().starts_with("slw_"));
        prop_assert!(text.expose()[4..].bytes().all(|digit| digit.is_ascii_alphanumeric()));
    }

    #[test]
    fn different_bits_make_different_tokens(one in any::<[u8; 32]>(), other in any::<[u8; 32]>()) {
        prop_assert_eq!(one == other, TokenText::of(one).expose() == TokenText::of(other).expose());
    }

    #[test]
    fn one_wrong_character_is_noticed(random in any::<[u8; 32]>(), at in 0_usize..53, other in "[0-9A-Za-z_]") {
        let text = TokenText::of(random);
        let mut wrong = text.expose().to_owned();
        wrong.replace_range(at..=at, &other);
        prop_assert_eq!(wrong.parse::<TokenText>().is_ok(), wrong == text.expose());
    }

    #[test]
    fn what_is_cut_off_or_longer_is_no_token(random in any::<[u8; 32]>(), length in 0_usize..53, more in "[ -~]") {
        let text = TokenText::of(random);
        prop_assert!(text.expose()[..length].parse::<TokenText>().is_err());
        let longer = format!("{}{more}", text.expose());
        prop_assert!(longer.parse::<TokenText>().is_err());
    }

    #[test]
    fn any_text_is_answered(text in any::<String>(), near in "slw_[0-9A-Za-zé]{49}") {
        let _ = text.parse::<TokenText>();
        let _ = near.parse::<TokenText>();
    }
}
