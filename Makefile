# make help lists the targets. What they need: Go, git, a C compiler for the race detector.

BUILD    := build
INSTANCE := $(BUILD)/instance

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
DATE     := $(shell date -u '+%Y-%m-%d %H:%M:%S UTC')
LDFLAGS  := -X main.version=$(VERSION) -X 'main.buildDate=$(DATE)'

# Error texts that begin with a capital (ST1005) are those of the D node: scripts match them.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2 -checks inherit,-ST1005

NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2

# A commit without a release tag in its past is taken for one on the way to the first release
# of the Go node. Every package replaces those of the D node, which end with v1.10.1.
export GOARCH      := $(shell go env GOARCH)
export MAINTAINER  := dmqnode contributors <tsunami@sociomantic.com>
export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
export DEB_VERSION := $(shell git describe --tags --match 'v[0-9]*' 2>/dev/null | sed 's/^v//; s/-/+/; s/-/./g' | grep . || \
	echo "2.0.0~git$$(date -u -d @$(SOURCE_DATE_EPOCH) +%Y%m%d%H%M%S).$$(git rev-parse --short HEAD 2>/dev/null || echo 0)")-1

FUZZTIME := 20s
# Minimizing an input that FuzzRecover finds interesting takes longer than that by default.
MINIMIZE := 1s
SOAK     := 10m
BENCH    :=

.DEFAULT_GOAL := help
.PHONY: help build run instance test race soak lint cross fuzz bench bench-ceiling deb check-deploy clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the node and the client tool: build/dmqnode, build/dmq
	go build -ldflags "$(LDFLAGS)" -o $(BUILD)/ ./cmd/dmqnode ./cmd/dmq

run: build instance ## build the node and run it in build/instance; Ctrl-C stops it
	cd $(INSTANCE) && exec ../dmqnode -c etc/config.ini

# A directory to run the node in, unless there is one. It differs from what is shipped in
# that it serves this machine only, and logs to the console too.
instance: build
	@test -e $(INSTANCE)/etc/config.ini || \
		$(BUILD)/dmq new-instance $(INSTANCE) -q -O Server.address=127.0.0.1 -O LOG.Root.console=true -O Admin.clients=dmq

# Most tests wait for a node more than they compute, so more of them run at once than there are CPUs.
PARALLEL := 8

test: ## run all tests
	go vet ./...
	go test -vet off -parallel $(PARALLEL) ./...

race: ## run the tests, but for the slow ones, with the race detector
	go test -race -short ./...

soak: ## for SOAK=10m each: attack the node, kill and restart it at random moments; then let the power fail, a million times
	go test -race -count=1 -timeout 0 -v -run '^TestHostileTraffic$$' ./test/budget -soak $(SOAK)
	go test -count=1 -timeout 0 -v -run '^(TestKillUnderLoad|TestInterruptedStopsAndStarts)$$' ./test/storage -soak $(SOAK)
	go test -count=1 -timeout 0 -run '^TestAPowerFailureCostsOnlyWhatIsNew$$' ./internal/storage -power.seeds 30000
	go test -count=1 -timeout 0 -v ./test/power -cuts 200

lint: ## check format, vet, staticcheck
	@unformatted=$$(gofmt -l cmd client deploy etc internal test) && test -z "$$unformatted" || \
		{ echo "not formatted, run gofmt -w on:" $$unformatted; exit 1; }
	go vet ./...
	go run $(STATICCHECK) ./...

# What the cross-build covers: clients and tool for everybody, the node on Linux.
CLIENTS := linux/amd64 linux/arm64 linux/386 linux/s390x darwin/amd64 darwin/arm64 \
	windows/amd64 windows/arm64 freebsd/amd64 freebsd/arm64
NODES   := linux/amd64 linux/arm64 linux/386 linux/arm linux/s390x

cross: ## build clients and tool for every system, the node for every Linux; only to see that they build
	@for target in $(CLIENTS); do \
		echo "$$target: client, dmq"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build ./client/... ./cmd/dmq/... || exit 1; \
	done
	@for target in $(NODES); do \
		echo "$$target: dmqnode"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} go build -o /dev/null ./cmd/dmqnode || exit 1; \
	done

fuzz: ## run each fuzz target for FUZZTIME=20s
	@grep -r --include='*_test.go' -o '^func Fuzz[A-Za-z0-9_]*' cmd client internal test | \
	sed 's/:func / /' | while read -r file name; do \
		echo "$$name in $$(dirname "$$file")"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime $(MINIMIZE) "./$$(dirname "$$file")" || exit 1; \
	done

bench: build ## measure the built node with dmq bench over both protocols; options in BENCH='push --size 10'
	@test/temporary-node $(BUILD)/dmqnode sh -ec '\
		$(BUILD)/dmq bench --protocol legacy -a $$LEGACY $(BENCH); echo; \
		$(BUILD)/dmq bench --protocol neo -a $$NEO -c $$CREDENTIALS --legacy-address $$LEGACY $(BENCH)'

bench-ceiling: build ## measure the built node against the machine's ceiling; options in BENCH='--only …', a table with BENCH=--markdown
	go run ./test/bench $(BENCH)

deb: ## build Debian packages of the node and of its services: build/*.deb
	rm -f $(BUILD)/*.deb
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $(LDFLAGS)" -o $(BUILD)/deb/programs/ ./cmd/dmqnode ./cmd/dmq
	for name in dmqnode dmqnode-common; do \
		deploy/debian/stage $(BUILD)/deb/$$name $$name '$(DEB_VERSION)' '$(MAINTAINER)' && \
		env -u GOARCH go run $(NFPM) package -f deploy/debian/$$name.yaml -p deb -t $(BUILD)/ || exit 1; \
	done

check-deploy: ## check deploy/ and the manuals, with those tools for it that are installed
	go test ./deploy ./cmd/dmqnode
	deploy/check

clean: ## remove build/, also the instance of make run with its records
	rm -rf $(BUILD)
