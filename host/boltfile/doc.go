// Package boltfile opens bbolt files that may be torn: cut short, overwritten or
// half written by a machine that lost its power.
//
// bbolt maps its file and trusts it. On a damaged one it panics, or touches memory
// that isn't there, which ends the program beyond any recover; its own check does
// the same, on a goroutine that nobody else can guard. So [Check] maps nothing: it
// reads the file, page by page, and says whether bbolt may have it. [Open] does
// that under the file's lock and puts a damaged file aside. [Guard] is for what
// happens later, when a disk goes bad under a file that was sound.
//
// What bbolt has no checksum for can't be seen: a flipped bit inside a value
// passes. Whoever writes values sees to that.
//
// # Concurrency
//
// Every function may be called from any goroutine and by any process. Check and
// Open take the lock that bbolt takes, so they never look at a file while someone
// writes it.
//
// # Errors
//
// [ErrTorn]: the file is damaged. [ErrLocked]: another process has it open. All
// else is the operating system's, as it came: a folder, no permission, a bad disk.
package boltfile
