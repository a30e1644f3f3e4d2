//! The schema of the tables, and the migrations that create them.

use midplane_core::bus::SettingsError;

/// The migrations, each applied once and in this order, for ever: a change is a new one at the end.
const MIGRATIONS: [&str; 12] = [
    include_str!("../../migrations/1_tables.sql"),
    include_str!("../../migrations/2_history.sql"),
    include_str!("../../migrations/3_producers.sql"),
    include_str!("../../migrations/4_ledger.sql"),
    include_str!("../../migrations/5_commit.sql"),
    include_str!("../../migrations/6_take.sql"),
    include_str!("../../migrations/7_interface.sql"),
    include_str!("../../migrations/8_errors.sql"),
    include_str!("../../migrations/9_look.sql"),
    include_str!("../../migrations/10_plans.sql"),
    include_str!("../../migrations/11_groups.sql"),
    include_str!("../../migrations/12_group_ledger.sql"),
];

/// How the schema is named in the migrations, which are SQL as they stand.
const PLACEHOLDER: &str = "\"midplane\"";

/// The longest name of Postgres, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// The schema of a store.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Schema {
    name: String,
}

impl Default for Schema {
    fn default() -> Self {
        Self {
            name: "midplane".to_owned(),
        }
    }
}

impl Schema {
    /// # Errors
    /// When the name is not made of 1 to 63 bytes of letters, digits, `_` and `-`, or begins with `pg_`. So no
    /// quoting, of identifiers or of texts, can be left by it.
    pub(crate) fn new(name: &str) -> Result<Self, SettingsError> {
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if !(1..=MAX_NAME_BYTES).contains(&name.len())
            || !name.chars().all(plain)
            || name.starts_with("pg_")
        {
            return Err(SettingsError::Value {
                setting: "schema",
                message: format!(
                    "{name:?} must be 1 to 63 bytes of letters, digits, '_' and '-', and not begin with pg_"
                ),
            });
        }
        Ok(Self {
            name: name.to_owned(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The text of SQL with the schema in place of the one it names.
    pub(crate) fn place(&self, sql: &str) -> String {
        sql.replace(PLACEHOLDER, &format!("\"{}\"", self.name))
    }

    /// The migrations, numbered from 1.
    pub(crate) fn migrations(&self) -> impl Iterator<Item = (i32, String)> {
        (1..).zip(MIGRATIONS.map(|sql| self.place(sql)))
    }

    /// The number of the last migration.
    pub(crate) const fn version() -> i32 {
        MIGRATIONS.len() as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_quotes_is_refused() {
        for name in ["midplane", "Aufträge_1-b", &"x".repeat(63)] {
            let schema = Schema::new(name).unwrap();
            assert_eq!(
                schema.place("\"midplane\".t"),
                format!("\"{name}\".t"),
                "{name}"
            );
        }
        for name in [
            "",
            "a\"b",
            "a'b",
            "a$b",
            "a\\b",
            "a b",
            "a.b",
            "pg_x",
            &"x".repeat(64),
        ] {
            let refused = Schema::new(name).err().map(|error| error.to_string());
            assert!(refused.is_some_and(|text| text.contains(&format!("the schema {name:?}"))));
        }
    }

    #[test]
    fn no_migration_names_another_schema() {
        for (number, sql) in Schema::new("Elsewhere").unwrap().migrations() {
            // What is left of the default name are those of settings and channels.
            for line in sql.lines().filter(|line| line.contains("midplane")) {
                let allowed = ["'midplane.floor_'", "'midplane_completions_'", "-- "];
                assert!(
                    allowed.iter().any(|text| line.contains(text)),
                    "{number}: {line}"
                );
            }
        }
    }
}
