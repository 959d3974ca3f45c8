// Package deploy is no code: its folders are what puts a node into service, as Debian
// packages, under systemd or upstart, in containers. Its tests keep these files and the
// manuals in step with the program; make check-deploy checks more, with the tools it finds.
package deploy
