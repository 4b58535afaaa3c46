//! Dates in queries: the beginning of a day, a month or a year, in UTC.

use std::fmt;

use model::Timestamp;

/// The day on which a date, month or year begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateStart {
    /// 1 to 9999.
    year: u16,
    month: u8,
    day: u8,
}

impl DateStart {
    /// Reads `YYYY`, `YYYY-MM` or `YYYY-MM-DD`; `None` for anything else and for days that no calendar has.
    pub fn parse(text: &str) -> Option<DateStart> {
        let mut parts = text.split('-');
        let year = digits(parts.next()?, 4)?;
        let month = parts.next().map_or(Some(1), |part| digits(part, 2))? as u8;
        let day = parts.next().map_or(Some(1), |part| digits(part, 2))? as u8;
        let is_real = parts.next().is_none() && year >= 1 && (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        is_real.then_some(DateStart { year, month, day })
    }

    /// Returns the first instant of the day.
    pub fn timestamp(self) -> Timestamp {
        Timestamp(self.days_since_1970() * Timestamp::DAY)
    }

    /// Counts days in eras of 400 years that begin in March, so that the leap day is the last of a year.
    fn days_since_1970(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let year = i64::from(self.year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }
}

impl fmt::Display for DateStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn digits(text: &str, count: usize) -> Option<u16> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn days_in(year: u16, month: u8) -> u8 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u8::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (text, days) in
            [("1970", 0), ("1970-01-02", 1), ("1969-12-31", -1), ("2000-03-01", 11_017), ("2024-02-29", 19_782), ("0001", -719_162)]
        {
            assert_eq!(DateStart::parse(text).unwrap().timestamp(), Timestamp(days * Timestamp::DAY), "{text}");
        }
    }

    #[test]
    fn refuses_what_no_calendar_has() {
        for text in ["", "24", "2024-2", "2024-13", "2024-00", "2023-02-29", "1900-02-29", "2024-01-32", "2024-01-01-01", "+024", "0000"] {
            assert_eq!(DateStart::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = None;
        for year in 1896..=2104_u16 {
            for month in 1..=12_u8 {
                for day in 1..=days_in(year, month) {
                    let days = DateStart { year, month, day }.days_since_1970();
                    assert!(before.is_none_or(|before| before + 1 == days), "{year}-{month}-{day}");
                    before = Some(days);
                }
            }
        }
    }
}
