//! What a provider says about the quota of an account, in one shape for all of them.
//!
//! A view is small, fixed in size and copied: one is made for every answer. Whoever reads the
//! headers makes it, and the pool never parses anything.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What an answer, or a usage endpoint, says about an account's quota. Everything may be unknown.
///
/// # Example
///
/// ```
/// use flowgate_core::accounts::{BucketView, QuotaView, Window, WindowView};
///
/// let mut view = QuotaView::default();
/// assert!(view.is_empty());
/// view.requests = Some(BucketView { limit: Some(60), remaining: 59, full_in_ms: Some(1_000) });
/// view.add_window(WindowView { used: 0.4, ..WindowView::new(Window::FiveHour) });
/// assert_eq!(view.windows().count(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuotaView {
    /// Requests in a short window.
    pub requests: Option<BucketView>,
    /// Tokens in a short window, input and output together.
    pub tokens: Option<BucketView>,
    /// Input tokens in a short window.
    pub input_tokens: Option<BucketView>,
    /// Output tokens in a short window.
    pub output_tokens: Option<BucketView>,
    windows: [Option<WindowView>; Self::WINDOWS],
}

impl QuotaView {
    /// How many long windows one view holds; providers state two to four.
    pub const WINDOWS: usize = 4;

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        let buckets = [
            &self.requests,
            &self.tokens,
            &self.input_tokens,
            &self.output_tokens,
        ];
        buckets.iter().all(|bucket| bucket.is_none()) && self.windows.iter().all(Option::is_none)
    }

    /// The long windows.
    pub fn windows(&self) -> impl Iterator<Item = &WindowView> {
        self.windows.iter().flatten()
    }

    /// Adds a long window, or replaces the one of that name. A fifth name is not kept: the answer
    /// is `false`.
    pub fn add_window(&mut self, window: WindowView) -> bool {
        let same = |place: &&mut Option<WindowView>| {
            place.is_none_or(|there| there.window == window.window)
        };
        match self.windows.iter_mut().find(same) {
            Some(place) => {
                *place = Some(window);
                true
            }
            None => false,
        }
    }
}

/// A quota that refills all the time, such as requests a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketView {
    /// What it holds when full, where the provider says so.
    #[serde(default)]
    pub limit: Option<u64>,
    /// What is left.
    pub remaining: u64,
    /// The time until it is full again, in milliseconds, where the provider says so.
    #[serde(default)]
    pub full_in_ms: Option<u64>,
}

/// A quota that is counted from a start to a reset, such as what a subscription grants in five
/// hours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowView {
    /// Which window.
    pub window: Window,
    /// The part that is used, from 0 to 1; it may be more than 1.
    #[serde(default)]
    pub used: f32,
    /// When it starts anew.
    #[serde(default)]
    pub resets_at: Option<Timestamp>,
    /// How long it is, in milliseconds, where that differs from [`Window::length_ms`].
    #[serde(default)]
    pub length_ms: Option<u64>,
    /// Whether the provider refuses requests because of it.
    #[serde(default)]
    pub rejected: bool,
}

impl WindowView {
    /// A window of which nothing is used.
    pub const fn new(window: Window) -> Self {
        Self {
            window,
            used: 0.0,
            resets_at: None,
            length_ms: None,
            rejected: false,
        }
    }

    /// How long the window is, in milliseconds.
    pub fn length_ms(&self) -> u64 {
        self.length_ms.unwrap_or(self.window.length_ms())
    }
}

/// The long windows that providers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Window {
    /// Claude subscriptions: five hours, all models (`5h`).
    FiveHour,
    /// Claude subscriptions: seven days, all models (`7d`).
    SevenDay,
    /// Claude subscriptions: seven days, one family (`7d_oi`).
    SevenDayOi,
    /// Claude subscriptions: seven days, Opus (`7d_opus`).
    SevenDayOpus,
    /// Claude subscriptions: seven days, Sonnet (`7d_sonnet`).
    SevenDaySonnet,
    /// Codex: the shorter window, usually five hours.
    Primary,
    /// Codex: the longer window, usually seven days.
    Secondary,
}

impl Window {
    /// How long it usually is, in milliseconds.
    pub const fn length_ms(self) -> u64 {
        const HOUR: u64 = 3_600_000;
        match self {
            Self::FiveHour | Self::Primary => 5 * HOUR,
            _ => 7 * 24 * HOUR,
        }
    }

    /// Whether it counts one family of models only, and says nothing about the others.
    pub const fn is_family(self) -> bool {
        matches!(
            self,
            Self::SevenDayOi | Self::SevenDayOpus | Self::SevenDaySonnet
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_kept_once_and_a_fifth_is_refused() {
        let mut view = QuotaView::default();
        for window in [
            Window::FiveHour,
            Window::SevenDay,
            Window::SevenDayOi,
            Window::SevenDayOpus,
        ] {
            assert!(view.add_window(WindowView::new(window)));
        }
        let used = WindowView {
            used: 0.5,
            ..WindowView::new(Window::SevenDay)
        };
        assert!(view.add_window(used));
        assert!(!view.add_window(WindowView::new(Window::SevenDaySonnet)));
        assert_eq!(view.windows().filter(|w| w.used == 0.5).count(), 1);
        assert_eq!(view.windows().count(), 4);
    }

    #[test]
    fn a_view_survives_json() {
        let mut view = QuotaView {
            tokens: Some(BucketView {
                limit: None,
                remaining: 7,
                full_in_ms: Some(12),
            }),
            ..QuotaView::default()
        };
        view.add_window(WindowView::new(Window::Primary));
        let json = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<QuotaView>(&json).unwrap(), view);
        assert_eq!(
            serde_json::from_str::<QuotaView>("{}").unwrap(),
            QuotaView::default()
        );
    }
}
