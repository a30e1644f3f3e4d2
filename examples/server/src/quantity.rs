//! What the values of flags are: counts, sizes and times, each within its range.

use std::ops::RangeInclusive;
use std::time::Duration;

use midplane::node;

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;

/// A whole number of this range.
pub(crate) fn count(
    range: RangeInclusive<usize>,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    move |text| {
        let count = text.parse().map_err(|_| "it is not a whole number")?;
        within(&range, count, usize::to_string)
    }
}

/// A number of lanes.
pub(crate) fn lanes(text: &str) -> Result<u32, String> {
    let lanes = count(1..=node::MAX_LANES as usize)(text)?;
    u32::try_from(lanes).map_err(|error| error.to_string())
}

/// A size in bytes of this range.
pub(crate) fn size(
    range: RangeInclusive<usize>,
) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync {
    move |text| {
        let (number, unit) = number_and_unit(text)?;
        let unit = match unit {
            "" | "B" => 1,
            "KiB" => KIB,
            "MiB" => MIB,
            _ => return Err("its unit is not one of B, KiB, MiB".into()),
        };
        let size = usize::try_from(number)
            .unwrap_or(usize::MAX)
            .saturating_mul(unit);
        within(&range, size, show_size)
    }
}

/// A time of this range.
pub(crate) fn time(
    range: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
    move |text| {
        let (number, unit) = number_and_unit(text)?;
        let time = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.saturating_mul(60)),
            _ => return Err("its unit is not one of ms, s, m".into()),
        };
        within(&range, time, |time| format!("{time:?}"))
    }
}

fn number_and_unit(text: &str) -> Result<(u64, &str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    match number.parse() {
        Ok(number) => Ok((number, unit)),
        Err(_) => Err("it does not begin with a whole number".into()),
    }
}

fn within<T: PartialOrd>(
    range: &RangeInclusive<T>,
    value: T,
    show: impl Fn(&T) -> String,
) -> Result<T, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "it is not within {} to {}",
        show(range.start()),
        show(range.end())
    ))
}

fn show_size(size: &usize) -> String {
    match *size {
        size if size >= MIB && size % MIB == 0 => format!("{}MiB", size / MIB),
        size if size >= KIB && size % KIB == 0 => format!("{}KiB", size / KIB),
        size => format!("{size}B"),
    }
}
