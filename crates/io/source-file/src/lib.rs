//! Watches files and folders of documents and yields the whole set.
