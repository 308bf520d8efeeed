// Package file reads files: standard input, FIFOs, regular files read once, and
// regular files that are followed as they grow, through rotation and truncation.
//
// Standard input ends with io.EOF. A FIFO never ends: when its last writer has
// left, the next one is waited for. A file that is not followed ends with io.EOF
// where its end is found. Standard input and FIFOs cannot seek: what a pipe held
// when the reader died is gone with it.
//
// A followed file is watched by looking at it four times a second, which works
// on every file system and costs nothing to speak of. When its path names
// another file, the old one is read on until it has given nothing for two
// seconds, for its writer may not have noticed yet; then comes the next. A file
// that has become shorter than what was read of it was truncated in place
// (copytruncate) and is read from its beginning; what was written between the
// last look and the truncation is an unknown loss. After a restart the file
// that was being read is found again under whatever rotated name it has now.
//
// What cannot be seen: a file truncated in place that has grown beyond the old
// place again before the next look. A rotated file that was compressed while
// nobody read it is an unknown loss. Files are known by inode number, so the
// file system must have lasting ones; FAT has not.
//
// The package must never write to what it reads, never wait for flash, and
// never return bytes of two files from one Read.
package file
