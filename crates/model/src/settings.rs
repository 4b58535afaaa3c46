//! What a person has chosen for themselves. It lies in the [`User`](crate::User), and every field has a default, so that older rows read well.

use serde::{Deserialize, Serialize};

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserSettings {
    #[serde(default)]
    pub theme: Theme,
    /// More pins are loaded when the end of a page comes near; off shows a link to the next page.
    #[serde(default = "yes")]
    pub infinite_scroll: bool,
    #[serde(default = "yes")]
    pub mail_notifications: bool,
    /// Others may find the profile in search and in suggestions.
    #[serde(default = "yes")]
    pub discoverable: bool,
    #[serde(default)]
    pub home_order: HomeOrder,
}

impl Default for UserSettings {
    fn default() -> UserSettings {
        UserSettings {
            theme: Theme::System,
            infinite_scroll: true,
            mail_notifications: true,
            discoverable: true,
            home_order: HomeOrder::Newest,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

/// The order of a home feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HomeOrder {
    /// By the pins' own time.
    #[default]
    Newest,
    /// What was not shown yet comes first, ranked; then what was shown, in the order in which it was.
    Best,
}

impl HomeOrder {
    pub const ALL: [HomeOrder; 2] = [HomeOrder::Newest, HomeOrder::Best];

    pub fn as_str(self) -> &'static str {
        match self {
            HomeOrder::Newest => "newest",
            HomeOrder::Best => "best",
        }
    }

    pub fn parse(text: &str) -> Option<HomeOrder> {
        HomeOrder::ALL.into_iter().find(|order| order.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_settings_are_newest_first() {
        let settings: UserSettings = serde_json::from_str(r#"{"theme":"dark","infinite_scroll":false}"#).unwrap();
        assert_eq!(settings, UserSettings { theme: Theme::Dark, infinite_scroll: false, ..UserSettings::default() });
        assert_eq!(settings.home_order, HomeOrder::Newest);
    }

    #[test]
    fn orders_have_one_name_everywhere() {
        for order in HomeOrder::ALL {
            assert_eq!(HomeOrder::parse(order.as_str()), Some(order));
            assert_eq!(serde_json::to_value(order).unwrap(), order.as_str());
        }
        assert_eq!(HomeOrder::parse("worst"), None);
    }
}
