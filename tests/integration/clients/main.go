// Sends events with Debian's golang-github-fluent-fluent-logger-golang-dev: HOST PORT MODULE COUNT ack|noack [json|RETRY_WAIT_MS]
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/fluent/fluent-logger-golang/fluent"
)

func main() {
	host, module := os.Args[1], os.Args[3]
	port, _ := strconv.Atoi(os.Args[2])
	count, _ := strconv.Atoi(os.Args[4])
	ack := os.Args[5] == "ack"
	json := len(os.Args) > 6 && os.Args[6] == "json"
	config := fluent.Config{FluentHost: host, FluentPort: port, RequestAck: ack, SubSecondPrecision: ack && !json, MarshalAsJSON: json}
	if len(os.Args) > 6 && !json {
		config.RetryWait, _ = strconv.Atoi(os.Args[6])
	}
	logger, err := fluent.New(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := 0; i < count; i++ {
		record := map[string]interface{}{"module_id": module, "event": "request", "success": i%10 != 0,
			"duration_ms": 1 + i%100, "correlation_id": fmt.Sprintf("go-%d", i)}
		if err := logger.Post("mod."+module, record); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := logger.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("sent %d\n", count)
}
