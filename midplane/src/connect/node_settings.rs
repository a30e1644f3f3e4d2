//! What the environment says of a node, beside where its bus is.

use midplane_core::bus::Signing;
use midplane_core::envelope::MAX_NAME;

use super::settings::{filled, variable};
use super::{ConnectError, read_keys};

const NODE_NAME: &str = "MIDPLANE_NODE_NAME";
const CLUSTER_NAME: &str = "MIDPLANE_CLUSTER_NAME";
const EXPECTED_MEMBERS: &str = "MIDPLANE_EXPECTED_MEMBERS";
const BUS_KEY_FILE: &str = "MIDPLANE_BUS_KEY_FILE";
const BUS_SIGNING: &str = "MIDPLANE_BUS_SIGNING";

/// The most members that can be expected.
const MEMBERS: usize = 1_024;

/// What is set of a node, and `None` where the variable is not set.
#[derive(Debug)]
pub(crate) struct NodeSettings {
    pub(crate) name: Option<String>,
    pub(crate) cluster_name: Option<String>,
    pub(crate) expected_members: Option<usize>,
    pub(crate) signing: Option<Signing>,
}

impl NodeSettings {
    /// What the environment says.
    pub(crate) fn from_env() -> Result<Self, ConnectError> {
        Ok(Self {
            name: name(NODE_NAME)?,
            cluster_name: name(CLUSTER_NAME)?,
            expected_members: expected_members()?,
            signing: signing()?,
        })
    }

    /// Whether a node without a bus can be so: what else is set is of a cluster.
    pub(crate) fn fits_one_node(&self) -> Result<(), ConnectError> {
        let set = [
            (self.cluster_name.is_some(), CLUSTER_NAME),
            (self.expected_members > Some(1), EXPECTED_MEMBERS),
            (self.signing.is_some(), BUS_KEY_FILE),
        ];
        match set.into_iter().find(|(is_set, _)| *is_set) {
            Some((_, setting)) => Err(ConnectError::MissingBackplane { setting }),
            None => Ok(()),
        }
    }
}

/// The name in the variable. What others would not be told of it would not tell two names apart.
fn name(setting: &'static str) -> Result<Option<String>, ConnectError> {
    let Some(value) = variable(setting)? else {
        return Ok(None);
    };
    let name = filled(&value, setting)?;
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        let expected = "a name of 64 bytes at most, without control characters";
        return Err(ConnectError::Unusable { setting, expected });
    }
    Ok(Some(name.to_owned()))
}

fn expected_members() -> Result<Option<usize>, ConnectError> {
    let setting = EXPECTED_MEMBERS;
    let Some(value) = variable(setting)? else {
        return Ok(None);
    };
    let members = filled(&value, setting)?.parse::<usize>();
    let members = members.ok().filter(|members| *members <= MEMBERS);
    let expected = "a whole number from 0 to 1024";
    members
        .map(Some)
        .ok_or(ConnectError::Unusable { setting, expected })
}

fn signing() -> Result<Option<Signing>, ConnectError> {
    let require = match variable(BUS_SIGNING)? {
        None => None,
        Some(value) => match filled(&value, BUS_SIGNING)? {
            "sign" => Some(false),
            "require" => Some(true),
            _ => {
                let (setting, expected) = (BUS_SIGNING, "sign or require");
                return Err(ConnectError::Unusable { setting, expected });
            }
        },
    };
    let Some(value) = variable(BUS_KEY_FILE)? else {
        return match require {
            None => Ok(None),
            Some(_) => Err(ConnectError::MissingKeys),
        };
    };
    let setting = BUS_KEY_FILE;
    let keys = read_keys(filled(&value, setting)?);
    let keys = keys.map_err(|source| ConnectError::Keys { setting, source })?;
    Ok(Some(match require {
        Some(true) => Signing::require(keys),
        _ => Signing::sign(keys),
    }))
}
