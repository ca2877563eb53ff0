//! No certificate authorities at all.
//!
//! sqlx adds those that it is given to those of `webpki-roots`, and has no switch for it. A user who
//! names an authority means that one alone, as in Node.js: with others beside it, whoever has a
//! certificate of any public authority passes for the server where its host is not verified. So the
//! public ones come from Node.js too, as if they had been named (`ts/config/tls.ts`).

/// Empty.
pub static TLS_SERVER_ROOTS: &[pki_types::TrustAnchor<'static>] = &[];
