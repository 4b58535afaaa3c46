//! Dates in the many forms that sites and programs write them in.
//!
//! Without a zone a time is taken as UTC. Where day and month can't be told apart ("02/03/2017"), month comes first, as Pinterest
//! and most English exports have it. What lies outside of 1800 to 2200 is a mistake and gives nothing.

use model::Timestamp;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// A date is short; what is longer is prose that happens to hold numbers.
const DATE_CHARS_MAX: usize = 64;

/// Reads a date or an instant.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.is_empty() || text.len() > DATE_CHARS_MAX || !text.is_ascii() {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return from_digits(text);
    }
    if let Ok(number) = text.parse::<f64>() {
        return from_epoch(number);
    }
    let (date, time) = split_time(text);
    let (year, month, day) = read_date(&date)?;
    let milliseconds = match time {
        Some(time) => read_time(&time)?,
        None => 0,
    };
    instant(year, month, day, milliseconds)
}

/// Reads a number of seconds, milliseconds or microseconds since 1970, told apart by their size.
pub fn from_epoch(number: f64) -> Option<Timestamp> {
    if !number.is_finite() || number <= 0.0 {
        return None;
    }
    let milliseconds = match number {
        n if n < 1e11 => n * 1e3,
        n if n < 1e14 => n,
        n => n / 1e3,
    };
    in_range(milliseconds as i64)
}

fn in_range(milliseconds: i64) -> Option<Timestamp> {
    const YEAR_1800: i64 = -5_364_662_400_000;
    const YEAR_2200: i64 = 7_258_118_400_000;
    (YEAR_1800..YEAR_2200).contains(&milliseconds).then_some(Timestamp(milliseconds))
}

fn from_digits(text: &str) -> Option<Timestamp> {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().ok();
    match text.len() {
        4 => instant(number(0..4)?, 1, 1, 0),
        8 => instant(number(0..4)?, number(4..6)?, number(6..8)?, 0),
        14 if text.starts_with("19") || text.starts_with("20") => {
            let seconds = number(8..10)? * 3_600 + number(10..12)? * 60 + number(12..14)?;
            instant(number(0..4)?, number(4..6)?, number(6..8)?, seconds * 1_000)
        }
        9..=16 => from_epoch(text.parse().ok()?),
        _ => None,
    }
}

fn instant(year: i64, month: i64, day: i64, milliseconds: i64) -> Option<Timestamp> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1_800..2_200).contains(&year) {
        return None;
    }
    in_range(days_from_civil(year, month, day) * Timestamp::DAY + milliseconds)
}

/// Counts the days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's algorithm).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Cuts "date time zone" into the date (the year may stand behind the time) and the time with its zone.
fn split_time(text: &str) -> (String, Option<String>) {
    let mut text = text.to_owned();
    let bytes = text.as_bytes();
    // EXIF writes 2006:01:02 10:11:12.
    if bytes.len() >= 10 && bytes[4] == b':' && bytes[7] == b':' && bytes[..4].iter().all(u8::is_ascii_digit) {
        text.replace_range(4..5, "-");
        text.replace_range(7..8, "-");
    }
    let Some(colon) = text.find(':') else { return (text, None) };
    let start = text[..colon].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    let time = text[start..].to_owned();
    let mut date = text[..start].trim_end_matches(['T', 't', ' ']).to_owned();
    // "Sun Apr 04 05:43:58 +0000 2021"
    if let Some(last) = time.split_whitespace().last()
        && last.len() == 4
        && last.bytes().all(|b| b.is_ascii_digit())
        && time.contains(' ')
    {
        date = format!("{date} {last}");
        let end = time.len() - 4;
        return (date, Some(time[..end].trim().to_owned()));
    }
    (date, Some(time))
}

fn read_date(text: &str) -> Option<(i64, i64, i64)> {
    let mut numbers: Vec<(i64, usize)> = Vec::new();
    let mut named_month = None;
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            numbers.push((digits.parse().ok()?, digits.len()));
        } else if word.len() >= 3 {
            let start = word[..3].to_ascii_lowercase();
            named_month = named_month.or_else(|| MONTHS.iter().position(|month| *month == start).map(|index| index as i64 + 1));
        }
    }
    match (named_month, numbers.as_slice()) {
        (Some(month), [(year, 4)]) => Some((*year, month, 1)),
        (Some(month), [(year, 4), (day, _)] | [(day, _), (year, 4)]) => Some((*year, month, *day)),
        (Some(month), [(day, _), (year, 2)]) => Some((full_year(*year), month, *day)),
        (None, [(year, 4)]) => Some((*year, 1, 1)),
        (None, [(year, 4), (month, _)]) => Some((*year, *month, 1)),
        (None, [(year, 4), (month, _), (day, _)]) => Some((*year, *month, *day)),
        (None, [(first, _), (second, _), (year, length)]) => {
            let year = if *length == 2 { full_year(*year) } else { *year };
            // Full stops stand between day, month and year; otherwise a number over 12 tells which is the day.
            let day_first = *first > 12 || text.contains('.');
            if day_first { Some((year, *second, *first)) } else { Some((year, *first, *second)) }
        }
        _ => None,
    }
}

fn full_year(two_digits: i64) -> i64 {
    if two_digits < 70 { 2_000 + two_digits } else { 1_900 + two_digits }
}

/// Reads "15:35:01.5 PM +02:00" into milliseconds since midnight UTC.
fn read_time(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.' | ','))).unwrap_or(text.len());
    let (clock, rest) = text.split_at(end);
    let mut parts = clock.split(':');
    let mut hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let (mut seconds, mut fraction) = (0_i64, 0_i64);
    if let Some(last) = parts.next() {
        let (whole, part) = last.split_once(['.', ',']).unwrap_or((last, ""));
        seconds = whole.parse().ok()?;
        let digits: String = part.chars().take(3).chain("000".chars()).take(3).collect();
        fraction = digits.parse().unwrap_or(0);
    }
    let rest = rest.trim().to_ascii_lowercase();
    if rest.starts_with("pm") && hours < 12 {
        hours += 12;
    } else if rest.starts_with("am") && hours == 12 {
        hours = 0;
    }
    if hours > 24 || minutes > 59 || seconds > 60 {
        return None;
    }
    let offset = rest.find(['+', '-']).and_then(|at| read_offset(&rest[at..])).unwrap_or(0);
    Some(((hours * 60 + minutes - offset) * 60 + seconds) * 1_000 + fraction)
}

/// Reads "+02:00", "-0330" or "+02" into minutes.
fn read_offset(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits: String = text[1..].chars().take_while(|c| c.is_ascii_digit() || *c == ':').filter(|c| *c != ':').collect();
    let minutes = match digits.len() {
        2 => digits.parse::<i64>().ok()? * 60,
        4 => digits[..2].parse::<i64>().ok()? * 60 + digits[2..].parse::<i64>().ok()?,
        _ => return None,
    };
    (minutes <= 18 * 60).then_some(sign * minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_forms_that_are_met() {
        // 2017-02-13T15:35:01Z
        const INSTANT: i64 = 1_486_999_999_000 + 2_000 - 98_000;
        assert_eq!(INSTANT, 1_486_999_903_000);
        const SECOND: i64 = 1_487_000_101_000;
        for (text, expected) in [
            ("2017-02-13T15:35:01Z", Some(SECOND)),
            ("2017/02/13 15:35:01", Some(SECOND)),
            ("2017-02-13 15:35:01 UTC", Some(SECOND)),
            ("2017-02-13T15:35:01.250+00:00", Some(SECOND + 250)),
            ("2017-02-13T17:35:01+02:00", Some(SECOND)),
            ("2017-02-13T10:05:01-0530", Some(SECOND)),
            ("2017:02:13 15:35:01", Some(SECOND)),
            ("Mon, 13 Feb 2017 15:35:01 +0000", Some(SECOND)),
            ("Mon Feb 13 15:35:01 +0000 2017", Some(SECOND)),
            ("Feb 13, 2017, 3:35:01 PM UTC", Some(SECOND)),
            ("1487000101", Some(SECOND)),
            ("1487000101000", Some(SECOND)),
            ("1487000101000000", Some(SECOND)),
            ("1487000101.0", Some(SECOND)),
            ("20170213153501", Some(SECOND)),
            ("20170213", Some(1_486_944_000_000)),
            ("13.02.2017", Some(1_486_944_000_000)),
            ("02/13/2017", Some(1_486_944_000_000)),
            ("13/02/2017", Some(1_486_944_000_000)),
            ("February 13th, 2017", Some(1_486_944_000_000)),
            ("13 Feb 2017", Some(1_486_944_000_000)),
            ("2017", Some(1_483_228_800_000)),
            ("2017-02", Some(1_485_907_200_000)),
            ("Feb 2017", Some(1_485_907_200_000)),
            ("1969-12-31", Some(-86_400_000)),
            ("No data", None),
            ("", None),
            ("2017-13-45", None),
            ("25:99", None),
            ("0", None),
            ("-5", None),
            ("nan", None),
            ("inf", None),
            ("9999999999999999999", None),
            ("today", None),
        ] {
            assert_eq!(parse(text).map(|t| t.0), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9:./,+ TZapmJFebun-]{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn days_go_up_one_by_one(year in 1800_i64..2200, month in 1_i64..13, day in 1_i64..28) {
            prop_assert_eq!(days_from_civil(year, month, day) + 1, days_from_civil(year, month, day + 1));
        }
    }
}
