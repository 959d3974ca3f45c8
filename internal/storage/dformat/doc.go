// Package dformat reads and writes the files in which the D node leaves its records: dumps of
// rings, NAME.rq, and the overflow, overflow.dat with its index ofchannels.csv (storage spec §2
// and §3). They are read at a start and written at a clean stop; in between nobody knows them.
package dformat
