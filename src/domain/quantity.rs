//! Amounts of CPU and memory, written as Kubernetes writes them.

use super::text::{Invalid, plain, text_type};

text_type!(
    /// CPU: whole cores (`2`), decimals (`0.5`) or millicores (`500m`).
    #[schema(example = "500m", pattern = "^([0-9]+m|[0-9]+([.][0-9]{1,3})?)$", max_length = 20)]
    Cpu,
    check_cpu
);
text_type!(
    /// Memory in bytes, or with a suffix: `512Mi`, `2Gi`, `1G`.
    #[schema(example = "2Gi", pattern = "^[0-9]+(k|M|G|T|Ki|Mi|Gi|Ti)?$", max_length = 20)]
    Memory,
    check_memory
);

/// Upper bound of CPU in millicores: more than any node has, and far from an overflow.
const MAX_MILLICORES: u64 = 1_024_000;
/// Upper bound of memory in bytes: 64 TiB.
const MAX_BYTES: u64 = 64 << 40;

impl Cpu {
    /// Returns the amount in thousandths of a core.
    pub fn millicores(&self) -> u64 {
        parse_cpu(&self.0).expect("checked when it was made")
    }
}

impl Memory {
    /// Returns the amount in bytes.
    pub fn bytes(&self) -> u64 {
        parse_memory(&self.0).expect("checked when it was made")
    }
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn parse_cpu(text: &str) -> Option<u64> {
    if let Some(milli) = text.strip_suffix('m') {
        return digits(milli);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.len() > 3 {
        return None;
    }
    let thousandths = digits(&format!("{fraction:0<3}"))?;
    digits(fraction)?;
    digits(whole)?.checked_mul(1000)?.checked_add(thousandths)
}

fn parse_memory(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(at);
    let unit: u64 = match suffix {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    digits(number)?.checked_mul(unit)
}

fn check_cpu(text: &str) -> Result<(), Invalid> {
    plain(text, 20)?;
    match parse_cpu(text) {
        Some(1..=MAX_MILLICORES) => Ok(()),
        Some(_) => Err(Invalid::new("must be more than 0 and at most 1024 cores")),
        None => Err(Invalid::new("must be an amount of CPU such as 2, 0.5 or 500m")),
    }
}

fn check_memory(text: &str) -> Result<(), Invalid> {
    plain(text, 20)?;
    match parse_memory(text) {
        Some(1..=MAX_BYTES) => Ok(()),
        Some(_) => Err(Invalid::new("must be more than 0 and at most 64Ti")),
        None => Err(Invalid::new("must be an amount of memory such as 512Mi or 2Gi")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_answered(text in any::<String>(), near in "[0-9]{0,20}[.mkKMGTi]{0,3}[0-9]{0,4}") {
            for text in [text, near] {
                if let Ok(cpu) = text.parse::<Cpu>() {
                    prop_assert!((1..=MAX_MILLICORES).contains(&cpu.millicores()), "{text}");
                }
                if let Ok(memory) = text.parse::<Memory>() {
                    prop_assert!((1..=MAX_BYTES).contains(&memory.bytes()), "{text}");
                }
            }
        }

        #[test]
        fn cores_and_thousandths_agree(cores in 0_u64..1024, milli in 1_u64..1000) {
            let decimal: Cpu = format!("{cores}.{milli:03}").parse().expect("a decimal");
            let thousandths: Cpu = format!("{}m", cores * 1000 + milli).parse().expect("thousandths");
            prop_assert_eq!(decimal.millicores(), thousandths.millicores());
        }
    }

    #[test]
    fn amounts_are_exact() {
        for (text, milli) in [
            ("2", 2000),
            ("0.5", 500),
            ("500m", 500),
            ("1.25", 1250),
            ("0.001", 1),
        ] {
            assert_eq!(text.parse::<Cpu>().expect(text).millicores(), milli);
        }
        for (text, bytes) in [
            ("1", 1),
            ("2Ki", 2048),
            ("512Mi", 536_870_912),
            ("2G", 2_000_000_000),
            ("1Ti", 1 << 40),
        ] {
            assert_eq!(text.parse::<Memory>().expect(text).bytes(), bytes);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.2345",
            "m",
            "1e3",
            "0m",
            "9999999",
            "1 ",
            "NaN",
            "99999999999999999999",
        ] {
            assert!(text.parse::<Cpu>().is_err(), "{text:?}");
        }
        for text in [
            "",
            "0",
            "-1Gi",
            "1.5Gi",
            "Gi",
            "1gb",
            "1e9",
            "100Ti",
            "99999999999999999Ti",
            "1 Gi",
            "128m",
            "500K",
            "500KB",
            "+1Gi",
            "0x10",
            "٣Gi",
            "65Ti",
        ] {
            assert!(text.parse::<Memory>().is_err(), "{text:?}");
        }
    }
}
