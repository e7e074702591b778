use futures::TryStreamExt;

use super::*;
use crate::domain::{BuildId, ContextId, log_chunk::CHUNK};

fn files(folder: &FilePath, kind: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join(kind)).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn within(folder: &tempfile::TempDir) -> Blobs {
    Blobs::from_url(folder.path().to_str().unwrap()).unwrap()
}

#[tokio::test]
async fn an_object_is_read_as_it_was_written_and_can_be_removed() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = within(&folder);
    let name = BlobName::context(ContextId::generate());
    let bytes = Bytes::from(vec![7; 3 * FILE_PART + 1]);
    let mut upload = blobs.begin(&name).await.unwrap();
    for piece in bytes.chunks(100_000) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert!(
        blobs.open(&name).await.unwrap().is_none(),
        "nothing is seen before the end"
    );
    upload.finish().await.unwrap();
    let blob = blobs.open(&name).await.unwrap().expect("it is there");
    assert_eq!(blob.size, bytes.len() as u64);
    let read: Vec<Bytes> = blob.bytes.try_collect().await.unwrap();
    assert_eq!(read.concat(), bytes);
    blobs.remove(&name).await.unwrap();
    blobs.remove(&name).await.unwrap();
    assert!(blobs.open(&name).await.unwrap().is_none());
}

#[tokio::test]
async fn a_dropped_upload_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let url = Url::from_file_path(folder.path()).unwrap();
    let blobs = Blobs::from_url(url.as_str()).unwrap();
    let mut upload = blobs
        .begin(&BlobName::context(ContextId::generate()))
        .await
        .unwrap();
    upload.write(Bytes::from(vec![7; 2 * FILE_PART])).await.unwrap();
    assert_eq!(
        files(folder.path(), "contexts").len(),
        1,
        "the piece is on the disk"
    );
    drop(upload);
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while !files(folder.path(), "contexts").is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the file is removed");
}

#[tokio::test]
async fn what_a_crash_left_of_an_upload_goes_with_its_object() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = within(&folder);
    let name = BlobName::context(ContextId::generate());
    let mut upload = blobs.begin(&name).await.unwrap();
    upload.write(Bytes::from(vec![7; 2 * FILE_PART])).await.unwrap();
    // A process that is killed drops nothing.
    std::mem::forget(upload);
    assert_eq!(files(folder.path(), "contexts").len(), 1);
    blobs.remove(&name).await.unwrap();
    assert_eq!(files(folder.path(), "contexts"), [""; 0]);
}

#[test]
fn what_is_no_storage_is_refused_by_name() {
    for bad in ["ftp://host/x", "http://host/x"] {
        let error = Blobs::from_url(bad).expect_err(bad).to_string();
        assert!(error.contains("can be kept at"), "{error}");
    }
}

#[test]
fn an_attempts_name_cannot_lead_out_of_the_folder() {
    let name = BlobName::log(BuildId::generate(), "../../etc/passwd");
    let path = name.to_string();
    assert!(path.starts_with("logs/"), "{path}");
    assert_eq!(path.matches('/').count(), 1, "{path}");
}

/// A log whose bytes tell where they are.
fn log(length: usize) -> Vec<u8> {
    (0..length / 8 + 1)
        .flat_map(|n| format!("{n:07}\n").into_bytes())
        .take(length)
        .collect()
}

#[tokio::test]
async fn a_stretch_of_an_archived_log_is_read_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let archive = LogArchive::new(within(&folder));
    for length in [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 100] {
        let (id, bytes) = (BuildId::generate(), log(length));
        let mut writer = archive.begin(id, "pod-a").await.unwrap();
        for piece in bytes.chunks(10_007) {
            writer.write(piece).await.unwrap();
        }
        let ends = writer.finish().await.unwrap();
        assert_eq!(ends.len(), length.div_ceil(CHUNK));
        let cuts = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, length - 1, length];
        for from in cuts.into_iter().filter(|from| *from <= length) {
            for to in cuts.into_iter().filter(|to| (from..=length).contains(to)) {
                let read = archive
                    .read((id, "pod-a"), &ends, from as u64, to as u64)
                    .await
                    .unwrap();
                assert!(read == bytes[from..to], "{length}: {from}..{to}");
            }
        }
    }
}

#[tokio::test]
async fn an_archived_log_that_is_gone_or_damaged_is_told_from_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let archive = LogArchive::new(within(&folder));
    let id = BuildId::generate();
    let mut writer = archive.begin(id, "pod-a").await.unwrap();
    writer.write(&log(2 * CHUNK)).await.unwrap();
    let ends = writer.finish().await.unwrap();
    let read = async |end: usize| archive.read((id, "pod-a"), &ends, 0, end as u64).await;
    assert!(matches!(read(2 * CHUNK + 1).await, Err(ArchiveError::Damaged(_))));
    let path = folder
        .path()
        .join(BlobName::log(id, "pod-a").within(&Path::default()).as_ref());
    let mut object = std::fs::read(&path).unwrap();
    object[10..20].fill(0xff);
    std::fs::write(&path, object).unwrap();
    assert!(matches!(read(CHUNK).await, Err(ArchiveError::Damaged(_))));
    archive.remove(id, "pod-a").await.unwrap();
    assert!(matches!(read(CHUNK).await, Err(ArchiveError::Missing(_))));
}
