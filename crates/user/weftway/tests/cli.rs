//! The commands as a user types them: output, exit codes, files.
