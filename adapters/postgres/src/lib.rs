//! A midplane bus over LISTEN and NOTIFY of Postgres.
