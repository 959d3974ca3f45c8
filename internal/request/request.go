// Package request is what the requests of both protocols have in common: their limits. What
// each of them does is in the packages below.
//
// It imports storage.
package request
