//! Enums whose variants have names, as one table each. Compiles to the enum and two lookups.

/// Defines an enum; `name` gives the name of a variant, and `ALL` has all variants in their order.
macro_rules! named {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $Enum:ident {
            $($(#[$doc:meta])* $Variant:ident = $name:literal,)+
        }
    ) => {
        $(#[$meta])*
        $visibility enum $Enum {
            $($(#[$doc])* $Variant,)+
        }

        #[allow(dead_code, reason = "not every enum needs both")]
        impl $Enum {
            /// All of them, in order.
            $visibility const ALL: &[Self] = &[$(Self::$Variant,)+];

            /// The name of this one.
            $visibility const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)+
                }
            }
        }
    };
}

pub(crate) use named;
