use super::*;

#[test]
fn lines_are_read_as_docker_reads_them() {
    let text = "\u{feff}test1\n/test2\r\n/a//file/./here/\n\n  \n# a comment\n#x\n  lastfile\t\n! /inverted/abs/../path\n a/../../b";
    let rules = Rules::parse(text).expect("all of it can be meant");
    let read: Vec<_> = rules
        .0
        .iter()
        .map(|pattern| (pattern.is_exception(), pattern.text()))
        .collect();
    assert_eq!(
        read,
        [
            (false, "test1"),
            (false, "test2"),
            (false, "a/file/here"),
            (false, "lastfile"),
            (true, "inverted/path"),
            (false, "../b"),
        ]
    );
}

#[test]
fn the_bad_line_is_named() {
    assert_eq!(Rules::parse("a\n\n# b\n [x ").err(), Some((4, "[x".to_owned())));
}

#[test]
fn an_empty_file_leaves_nothing_out() {
    let rules = Rules::parse("\n# nothing\n").expect("it is valid");
    assert!(!rules.leave_out("a", &Covered::default()).0);
    assert!(!rules.may_take_in_below("a"));
}
