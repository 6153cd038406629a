use super::*;

fn area(folder: &tempfile::TempDir, bytes_max: u64) -> SpoolArea {
    SpoolArea::new(folder.path().into(), bytes_max)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

fn read(spool: &Spool, step: usize) -> Vec<u8> {
    let (mut cursor, mut all) = (Cursor::default(), Vec::new());
    loop {
        let chunk = spool.chunk(&mut cursor).expect("it can be read");
        let count = chunk.len().min(step);
        all.extend_from_slice(&chunk[..count]);
        if count == 0 {
            return all;
        }
        cursor.advance(count);
    }
}

fn metric(area: &SpoolArea, family: &str) -> String {
    let registry = weft_runtime::metrics::Registry::new();
    registry.register(area.metrics());
    let text = registry.render();
    let line = text.lines().find(|line| line.starts_with(&format!("{family} ")));
    line.expect("the family is there").to_owned()
}

#[test]
fn what_is_written_is_read_wherever_it_is() {
    let folder = folder();
    let area = area(&folder, 64 << 20);
    for (length, memory) in [(0, 0), (1, 0), (1_000, 1_000), (1_001, 1_000), (300_000, 70_000)] {
        let bytes = pattern(length);
        for piece in [1_000, 16 << 10] {
            let mut spool = Spool::default();
            for piece in bytes.chunks(piece) {
                spool.write(piece, memory, &area).expect("there is room");
            }
            assert_eq!(spool.len(), length as u64);
            assert_eq!(spool.memory.len(), length.min(memory), "no more than that is in memory");
            assert_eq!(spool.rest.is_some(), length > memory);
            for step in [999, 1 << 20] {
                assert!(read(&spool, step) == bytes, "{length} bytes, {memory} of them in memory");
            }
        }
    }
}

#[test]
fn a_file_has_no_name_and_its_room_comes_back() {
    let folder = folder();
    let area = area(&folder, 4 << 20);
    let mut spool = Spool::default();
    spool.write(&pattern(1_500_000), 10, &area).expect("there is room");
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
    assert_eq!(metric(&area, "weftway_spool_bytes"), "weftway_spool_bytes 2097152");
    drop(spool);
    assert_eq!(metric(&area, "weftway_spool_bytes"), "weftway_spool_bytes 0");
    assert_eq!(metric(&area, "weftway_spool_files_total"), "weftway_spool_files_total 1");
}

#[test]
fn the_area_is_bounded_for_all_together() {
    let folder = folder();
    let area = area(&folder, 2 << 20);
    let (mut first, mut second) = (Spool::default(), Spool::default());
    first.write(&pattern(1 << 20), 0, &area).expect("there is room");
    second.write(&pattern(1 << 20), 0, &area).expect("there is room");
    let full = second.write(b"x", 0, &area);
    assert!(matches!(full, Err(SpoolError::Full(bytes)) if bytes == 2 << 20), "{full:?}");
    assert_eq!(metric(&area, "weftway_spool_refused_total"), "weftway_spool_refused_total 1");
    drop(first);
    second.write(b"x", 0, &area).expect("there is room again");
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let area = SpoolArea::new("/nowhere/at/all".into(), 1 << 20);
    let mut spool = Spool::default();
    spool.write(b"abc", 3, &area).expect("it fits into memory");
    assert!(matches!(spool.write(b"d", 3, &area), Err(SpoolError::Io(_))));
}
