//! What the system says about this machine.

use std::process::Command;

/// Operating system and architecture.
pub(super) fn system() -> String {
    format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// The processor's name, where the system knows it.
pub(super) fn processor() -> String {
    let name = match std::env::consts::OS {
        "linux" => text("/proc/cpuinfo").and_then(|text| value(&text, "model name")),
        "macos" => {
            let mut ask = Command::new("sysctl");
            let output = ask.args(["-n", "machdep.cpu.brand_string"]).output().ok();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        _ => None,
    };
    name.unwrap_or_else(|| "unknown".into())
}

/// Bytes that are free and bytes in all, where the system says so.
pub(super) fn memory() -> Option<(u64, u64)> {
    let text = text("/proc/meminfo")?;
    let kilobytes = |key| {
        let value = value(&text, key)?;
        let number: u64 = value.split_whitespace().next()?.parse().ok()?;
        number.checked_mul(1024)
    };
    Some((kilobytes("MemAvailable")?, kilobytes("MemTotal")?))
}

/// The line of the loaded driver that names its version.
pub(super) fn driver() -> Option<String> {
    let text = text("/proc/driver/nvidia/version")?;
    let line = value(&text, "NVRM version")?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// What stands behind `key` and a colon.
fn value(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut found = lines.filter(|(name, _)| name.trim() == key);
    found.next().map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_behind_their_key() {
        let text = "processor\t: 0\nmodel name\t: A CPU: fast\nMemTotal:   12 kB\n";
        assert_eq!(value(text, "model name").unwrap(), "A CPU: fast");
        assert_eq!(value(text, "MemTotal").unwrap(), "12 kB");
        assert_eq!(value(text, "MemFree"), None);
    }
}
