//! Values that are one of a few words, each defined once: variant, spelling, meaning. Pure.

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them, by how they are written, in order.
            pub(super) const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            /// How it is written.
            pub const fn name(self) -> &'static str {
                Self::ALL[self as usize].0
            }
        }
    };
}

words! {
    /// Queue types of RabbitMQ (`x-queue-type`).
    QueueKind {
        /// Replicated; the default.
        Quorum = "quorum",
        /// Classic.
        Classic = "classic",
    }
}

words! {
    /// Severity.
    Level {
        /// Errors only.
        Error = "error",
        /// Warnings as well.
        Warn = "warn",
        /// What an operator wants to know as well.
        Info = "info",
        /// Each request as well.
        Debug = "debug",
    }
}

words! {
    /// Where logs go.
    LogTarget {
        /// The journal if stderr is connected to it, else stderr.
        Auto = "auto",
        /// The journal.
        Journald = "journald",
        /// Lines on stderr.
        Stderr = "stderr",
    }
}
