// Package powerfs is a disk whose power can be cut: a file system in memory,
// mounted through FUSE, that knows for each byte and each name whether a sync
// has covered it.
//
// A Disk has two views. The volatile one is what processes see. The durable one
// is what survives. A write, a new length, a new name reach the durable view
// with the sync that covers them, or, as far as chance will have it, before:
//
//	bytes, length    fsync or fdatasync of the file
//	names            fsync of the folder; for a rename of either folder
//
// Cut makes the disk that is found when the power is back. What no sync has
// covered survives in part, drawn from a seed:
//
//   - bytes by sectors of 512, each as any of the writes since the last sync
//     left it, whatever became of its neighbours and of earlier writes;
//   - a file's length as any of those it has had since; sectors of a file that
//     grew are what was written, zeros or, rarely, junk;
//   - names in any order in which no name is changed before an earlier change of
//     it; a rename is there whole or not at all. With Options.Ordered they are
//     a prefix of what was done, as a journalling file system has it, and a sync
//     of a file that is new or has grown takes them along.
//
// So it promises no more than POSIX does, and Ordered no more than ext4 and
// f2fs; it keeps what they rarely do not keep. What a failed sync covered can be
// read as if it were there, but not through O_DIRECT. A Hook sees each operation before
// it is done, and can make it fail, come short, take its time, lie, or be the
// last one.
//
// It must never be kinder than a disk: what a sync has not covered may not be
// relied on, and a failed sync covers nothing, now or later. Hard links, shared
// maps, owners, access times and extended attributes are not there.
package powerfs
