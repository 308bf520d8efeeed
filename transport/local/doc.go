// Package local is the destination on a path: a directory on a disk, a USB
// stick or a network mount.
//
// Objects are plain files under their keys. All else is in one hidden folder
// beside them:
//
//	PATH/
//	├── gw-17/gps/2026/11/05/gps-….log     the object gw-17/gps/2026/11/05/gps-….log
//	└── .dray/
//	    ├── uploads/
//	    │   └── HASH-RANDOM/               one unfinished upload; HASH is that of its key
//	    │       ├── object.json            what it is to become
//	    │       ├── data                   part bytes, each at its offset in the object
//	    │       └── parts                  one 40-byte record a part, at 40*(number-1)
//	    └── meta/
//	        └── HA/SH.json                 size, checksum and metadata of an object: its claim
//
// What makes it safe, operation by operation; each ends with a sync of what it
// wrote and of the folders that name it:
//
//   - Create commits with the folder's name. A half-made folder carries the
//     hash of its key, so Find sees it and Abort removes it.
//   - UploadPart first voids the part's record if there is one, then writes
//     and syncs the bytes, then writes and syncs the record. A record counts
//     only if its own CRC is right. So a record never describes other bytes.
//   - Complete claims the key by giving it a claim file, which only one upload
//     can do, and then moves data to the key without replacing anything. Cut
//     between the two, Complete goes on with its own claim. The object appears
//     whole or not at all.
//
// Complete combines the checksums of the parts and does not read the bytes
// again: they would come from the page cache and say nothing of the disk.
//
// The package must never replace an object, or remove one that a trial did not
// make, follow a link out of PATH, or write into a folder on which nothing is
// mounted if Config.Mount says that something should be.
package local
