//! `reload_time_file`: a file with the time of the next reload.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::core::log;
use crate::core::runtime;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
const DAY: i64 = 86_400;

/// A time as written: `HH:MM:SS` or `YYYY-MM-DD HH:MM:SS`; with `Z` by UTC, else local.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    /// Since 1970; none for today or tomorrow.
    day: Option<i64>,
    /// Second of the day.
    second: i64,
    utc: bool,
}

impl Written {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (text, utc) = match text.strip_suffix('Z') {
            Some(text) => (text.trim_end(), true),
            None => (text, false),
        };
        let (day, time) = match text.split_once(' ') {
            Some((date, time)) => (Some(parse_date(date)?), time),
            None => (None, text),
        };
        let [hour, minute, second] = numbers(time, ':')?;
        let valid =
            (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
        valid.then_some(Self { day, second: hour * 3600 + minute * 60 + second, utc })
    }

    /// The next such moment after `now`, in seconds since 1970; none when it is over. `offset` is
    /// what local time is ahead of UTC, in seconds.
    fn next(self, now: i64, offset: i64) -> Option<i64> {
        let offset = if self.utc { 0 } else { offset };
        match self.day {
            Some(day) => Some(day * DAY + self.second - offset).filter(|at| *at > now),
            None => {
                let today = (now + offset).div_euclid(DAY) * DAY + self.second - offset;
                Some(if today > now { today } else { today + DAY })
            }
        }
    }
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.trim().split(between).map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse().ok().filter(|_| digits)
    });
    let found = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(found)
}

/// Days since 1970 in the Gregorian calendar; years are counted from March.
fn parse_date(text: &str) -> Option<i64> {
    let [year, month, day] = numbers(text, '-')?;
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let longest = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return None,
    };
    if !(1970..10_000).contains(&year) || !(1..=longest).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year;
    // From the first of March of year 0 to the first of January of 1970.
    Some(days - 719_468)
}

/// What local time is ahead of UTC at `now`, in seconds.
fn local_offset(now: i64) -> i64 {
    let text = log::local_time_at(now, "%z");
    let Some((sign, digits)) = text.split_at_checked(1) else { return 0 };
    let number: i64 = digits.parse().unwrap_or(0);
    let seconds = (number / 100) * 3600 + (number % 100) * 60;
    if sign == "-" { -seconds } else { seconds }
}

/// Looks at the file for ever, and asks for a reload when it is time. The file is removed then,
/// unless it is to `repeat`.
pub async fn watch(path: String, repeat: bool, reload: mpsc::Sender<()>) {
    let mut last: Option<String> = None;
    let mut at: Option<i64> = None;
    loop {
        let now = i64::try_from(runtime::wall_clock().as_secs()).unwrap_or(i64::MAX);
        let text = std::fs::read_to_string(&path).ok();
        if text != last {
            if at.take().is_some() {
                tracing::info!("the reload that {path} asked for is cancelled");
            }
            at = text.as_deref().and_then(|text| schedule(&path, text, now));
            last = text;
        }
        if at.is_some_and(|at| at <= now) {
            tracing::info!("it is time for the reload that {path} asks for");
            if reload.send(()).await.is_err() {
                return;
            }
            if repeat {
                at = last.as_deref().and_then(|text| schedule(&path, text, now));
            } else {
                (at, last) = (None, None);
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::error!("cannot remove {path}: {error}");
                    return;
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn schedule(path: &str, text: &str, now: i64) -> Option<i64> {
    let Some(written) = Written::parse(text) else {
        tracing::error!("{path}: neither HH:MM:SS nor YYYY-MM-DD HH:MM:SS");
        return None;
    };
    let at = written.next(now, local_offset(now));
    match at {
        None => tracing::warn!("{path}: the time is over"),
        Some(at) => {
            let text = log::local_time_at(at, "%Y-%m-%d %H:%M:%S");
            tracing::info!("{path}: the next reload is at {text}");
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_nonsense_is_not() {
        let utc = |text: &str, now| Written::parse(text).and_then(|time| time.next(now, 7200));
        assert_eq!(utc("1970-01-02 00:00:00 Z", 0), Some(DAY));
        assert_eq!(utc("2000-02-29 12:00:00Z\n", 0), Some(951_825_600));
        assert_eq!(utc("2026-11-23 16:00:00Z", 0), Some(1_795_449_600));
        assert_eq!(utc("1970-01-02 02:00:00", 0), Some(DAY), "local time is two hours ahead");
        assert_eq!(utc("1970-01-02 00:00:00Z", DAY), None, "over");
        for text in ["", "12:00", "24:00:00", "1:2:3:4", "2026-02-29 00:00:00", "x:y:z", "+1:0:0"] {
            assert_eq!(Written::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_without_a_date_is_today_s_or_tomorrow_s() {
        let noon = Written::parse("12:00:00Z").unwrap();
        assert_eq!(noon.next(0, 0), Some(43_200));
        assert_eq!(noon.next(43_200, 0), Some(43_200 + DAY));
        let early = Written::parse("01:00:00").unwrap();
        // 23:30 UTC is 00:30 of the next day by local time.
        assert_eq!(early.next(84_600, 3600), Some(DAY));
    }

    #[test]
    fn when_it_is_time_a_reload_is_asked_for_and_the_file_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("time");
        let soon = i64::try_from(runtime::wall_clock().as_secs()).unwrap() + 2;
        std::fs::write(&path, log::local_time_at(soon, "%H:%M:%S\n")).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(
            async {
                let (reload, mut asked) = mpsc::channel(1);
                let task = tokio::spawn(watch(path.to_str().unwrap().into(), false, reload));
                tokio::time::timeout(Duration::from_secs(30), asked.recv()).await.unwrap().unwrap();
                let gone = async {
                    while path.exists() {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
                task.abort();
            },
        );
    }
}
