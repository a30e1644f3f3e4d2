#![doc = include_str!("../../../docs/guides/graphql.md")]
