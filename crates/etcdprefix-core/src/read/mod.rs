//! From a file to its records: the file, its pages, the trees of its buckets.
//!
//! Pages come through one seam, [`Storage::read`]: from a map or by positioned reads. Nothing is
//! trusted because it was valid before: the file may change under the map.

mod bucket;
mod leaves;
mod map;
mod pages;
mod snapshot;
mod storage;
mod units;
mod windows;

pub use bucket::{Bucket, Root};
pub use leaves::{Leaf, Leaves, Position};
pub use map::end_on_bus_error;
pub use pages::{PageRun, PageSet};
pub use snapshot::{ReadMode, Snapshot};
pub use storage::{Bytes, Storage};
pub use units::{UNIT_BYTES, Unit, Units};
pub use windows::{ReadAt, Windows};
