package platform

import (
	"strconv"
	"strings"
)

// AcceptsGzip reads the values of Accept-Encoding (RFC 9110, section 12.5.3); a weight of 0 forbids.
func AcceptsGzip(values []string) bool {
	for _, value := range values {
		for coding := range strings.SplitSeq(value, ",") {
			name, weight, _ := strings.Cut(coding, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
				return err != nil || q > 0
			}
		}
	}
	return false
}
