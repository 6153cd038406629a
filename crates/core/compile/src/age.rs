//! Who was there first: of two documents that exclude each other, the older one wins.

use weft_resources::{Key, Resource};

/// Orders documents by age, and those of one age by namespace and name. What has no time yet is the
/// newest.
pub(crate) fn age(resource: &Resource) -> (bool, &str, &str, &str, &Key) {
    let Resource { created, key, .. } = resource;
    (created.is_empty(), created, &key.namespace, &key.name, key)
}
