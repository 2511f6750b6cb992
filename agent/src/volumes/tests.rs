//! Volumes on a real file system, with crashes between the steps.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use mesos_types::Scalar;

use super::*;

fn volume(work_dir: &Path, id: &str) -> PersistentVolume {
    PersistentVolume {
        id: id.to_owned(),
        role: "dev".to_owned(),
        disk: VolumeDisk::Directory(work_dir.to_owned()),
        path: work_dir.join("volumes/roles/dev").join(id),
        container_path: "data".to_owned(),
        read_only: false,
        size: Scalar::from_thousandths(1000),
        shared: false,
    }
}

fn mounted(root: &Path) -> PersistentVolume {
    PersistentVolume {
        disk: VolumeDisk::Mounted(root.to_owned()),
        path: root.to_owned(),
        ..volume(root, "m")
    }
}

fn work(make: &[&PersistentVolume], remove: &[&PersistentVolume]) -> VolumeWork {
    VolumeWork {
        operation: Uuid::from_u128(1),
        make: make.iter().map(|&v| v.clone()).collect(),
        remove: remove.iter().map(|&v| v.clone()).collect(),
    }
}

#[test]
fn a_volume_is_made_once_and_removed_in_two_steps_that_may_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let v = volume(dir.path(), "v");
    let create = work(&[&v], &[]);
    assert_eq!(create.carry_out(), Ok(Vec::new()));
    let mode = fs::metadata(&v.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    fs::write(v.path.join("file"), "x").unwrap();
    create.carry_out().unwrap();
    assert!(v.path.join("file").exists(), "what is there stays");
    let outside = dir.path().join("outside");
    fs::write(&outside, "x").unwrap();
    symlink(&outside, v.path.join("link")).unwrap();
    let destroy = work(&[], &[&v]);
    let trash = destroy.carry_out().unwrap();
    assert!(!v.path.exists());
    // Killed here, it does the same again, or the next start sweeps.
    assert_eq!(destroy.carry_out().unwrap(), trash);
    assert_eq!(left_aside(dir.path(), &Resources::new()), trash);
    clear(&trash);
    assert!(!trash[0].exists() && outside.exists());
    assert_eq!(destroy.carry_out(), Ok(Vec::new()));
    assert_eq!(
        left_aside(dir.path(), &Resources::new()),
        [] as [PathBuf; 0]
    );
}

#[test]
fn a_whole_disk_is_emptied_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let v = mounted(dir.path());
    work(&[&v], &[]).carry_out().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::write(dir.path().join("a/file"), "x").unwrap();
    let trash = work(&[], &[&v]).carry_out().unwrap();
    assert!(!dir.path().join("a").exists());
    clear(&trash);
    let left: Vec<_> = children(dir.path()).collect();
    assert_eq!(left, [dir.path().join("lost+found")]);
}

#[test]
fn what_fails_leaves_nothing_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (volume(dir.path(), "a"), volume(dir.path(), "b"));
    fs::create_dir_all(b.path.parent().unwrap()).unwrap();
    fs::write(&b.path, "in the way").unwrap();
    let error = work(&[&a, &b], &[]).carry_out().unwrap_err();
    assert!(error.contains("roles/dev/b"), "{error}");
    assert!(!a.path.exists());
    let elsewhere = mounted(&dir.path().join("none"));
    let error = work(&[&elsewhere], &[]).carry_out().unwrap_err();
    assert!(error.contains("is not a directory"), "{error}");
    work(&[&a], &[]).carry_out().unwrap();
    fs::write(a.path.join("precious"), "x").unwrap();
    // The second one cannot be set aside: its name there is taken.
    let taken = dir
        .path()
        .join("volumes/.removed")
        .join(format!("{}-1", Uuid::from_u128(1)));
    fs::create_dir_all(taken.join("full")).unwrap();
    fs::remove_file(&b.path).unwrap();
    work(&[&b], &[]).carry_out().unwrap();
    fs::write(b.path.join("precious"), "x").unwrap();
    work(&[], &[&a, &b]).carry_out().unwrap_err();
    assert!(a.path.join("precious").exists() && b.path.join("precious").exists());
}
