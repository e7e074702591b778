//! Amounts of CPU and memory, written as Kubernetes writes them.

use super::text::{Invalid, plain, text_type};

text_type!(
    /// CPU: whole cores (`2`), decimals (`0.5`) or millicores (`500m`).
    Cpu,
    check_cpu
);
text_type!(
    /// Memory in bytes, or with a suffix: `512Mi`, `2Gi`, `1G`.
    Memory,
    check_memory
);

impl Cpu {
    /// The amount in thousandths of a core.
    pub fn millicores(&self) -> u64 {
        parse_cpu(&self.0).unwrap_or_default()
    }
}

impl Memory {
    /// The amount in bytes.
    pub fn bytes(&self) -> u64 {
        parse_memory(&self.0).unwrap_or_default()
    }
}

fn parse_cpu(text: &str) -> Option<u64> {
    text.strip_suffix('m')?.parse().ok()
}

fn parse_memory(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn check_cpu(text: &str) -> Result<(), Invalid> {
    plain(text, 20)
}

fn check_memory(text: &str) -> Result<(), Invalid> {
    plain(text, 20)
}
