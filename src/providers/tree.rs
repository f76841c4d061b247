//! A provider's patterns as one tree of folders, so that each folder is opened and listed once however many patterns
//! lead through it.

use super::row::Provider;
use crate::policy::path_pattern::{Folder, NamePattern, PathPattern};

/// One kind of folder in the store.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Folders below it, with the node they lead to.
    pub(super) children: Vec<(Folder, usize)>,
    /// Names that hold a session's id.
    pub(super) names: Vec<NameRule>,
    /// Files of sub-agents whose names hold no id; the parent's id is inside.
    pub(super) loose: Vec<Folder>,
}

/// A name that holds a session's id.
#[derive(Debug)]
pub(super) struct NameRule {
    pub(super) name: NamePattern,
    /// What follows below the name; empty when the name is the file.
    pub(super) tail: Vec<Folder>,
    /// A sub-agent's transcript rather than the session's own.
    pub(super) subagent: bool,
}

/// Node 0 is the provider's home.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

impl Tree {
    pub(super) fn of(provider: &Provider) -> Self {
        let mut tree = Self { nodes: vec![Node::default()] };
        let mains = provider.transcripts.iter().map(|pattern| (pattern, false));
        for (pattern, subagent) in mains.chain(provider.subagents.iter().map(|pattern| (pattern, true))) {
            tree.insert(pattern, subagent);
        }
        tree
    }

    /// What leads to this node.
    pub(super) fn folder_of(&self, node: usize) -> Option<&Folder> {
        let children = self.nodes.iter().flat_map(|parent| &parent.children);
        children.into_iter().find(|(_, child)| *child == node).map(|(folder, _)| folder)
    }

    fn insert(&mut self, pattern: &PathPattern, subagent: bool) {
        let mut at = 0;
        for folder in &pattern.folders {
            at = if let Some((_, node)) = self.nodes[at].children.iter().find(|(known, _)| known == folder) {
                *node
            } else {
                self.nodes.push(Node::default());
                let node = self.nodes.len() - 1;
                self.nodes[at].children.push((folder.clone(), node));
                node
            };
        }
        match (&pattern.name, pattern.tail.first()) {
            (Some(name), _) => {
                self.nodes[at].names.push(NameRule { name: name.clone(), tail: pattern.tail.clone(), subagent });
            }
            (None, Some(file)) => {
                self.nodes[at].loose.push(file.clone());
            }
            (None, None) => {}
        }
    }
}

impl Node {
    /// Whether the folder must be listed to go on (rather than only passed through).
    pub(super) fn is_listed(&self) -> bool {
        !self.names.is_empty() || !self.loose.is_empty() || self.children.iter().any(|(child, _)| !child.is_literal())
    }

    /// Whether every session has exactly one possible name here, so that asking for it can replace listing.
    pub(super) fn can_be_probed(&self) -> bool {
        self.children.is_empty() && self.names.iter().all(|rule| rule.name.is_exact())
    }
}
