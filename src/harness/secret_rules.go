package harness

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"
)

// secretRules keep credentials out of Git.
var secretRules = []Rule{{
	Name:   "no-secrets",
	Reason: "what was in Git once is known to everybody who ever cloned it",
	Fix:    "revoke it, take it out of the history, and let the cluster's secret store supply it",
	Check:  checkSecrets,
}}

// credentials are shapes that nothing but a credential has.
var credentials = []struct {
	name    string
	pattern *regexp.Regexp
}{
	{"a private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
	{"an AWS access key", regexp.MustCompile(`\b(AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"a GitHub token", regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})`)},
	{"a Slack token", regexp.MustCompile(`\bxox[abprs]-[0-9A-Za-z-]{10,}`)},
	{"a JSON web token", regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.`)},
	{"a password in a URL", regexp.MustCompile(`[a-z]://[^/\s:@"'{}$]*:[^/\s:@"'{}$]+@`)},
	// A Solana keypair file is 64 bytes as JSON numbers; wallets export the same as base58.
	{"a Solana keypair", regexp.MustCompile(`\[\s*(\d{1,3}\s*,\s*){63}\d{1,3}\s*\]`)},
	{"a Solana secret key", regexp.MustCompile(`\b[1-9A-HJ-NP-Za-km-z]{86,88}\b`)},
}

// assignment is a value given to something that is called a secret.
var assignment = regexp.MustCompile(`(?i)(?:password|passwd|secret|token|api_?-?key|credentials?|auth)["']?\s*[:=]\s*["']?([A-Za-z0-9+/_.=-]{16,})`)

func checkSecrets(r *Render) []Finding {
	var all []Finding
	for _, file := range r.Files {
		data, err := r.Read(file)
		if err != nil || bytes.IndexByte(data, 0) >= 0 { // binary
			continue
		}
		report := func(offset int, what string) {
			line := 1 + bytes.Count(data[:offset], []byte("\n"))
			all = append(all, Finding{Object: fmt.Sprintf("%s:%d", file, line), Problem: "looks like " + what})
		}
		for _, credential := range credentials {
			for _, at := range credential.pattern.FindAllIndex(data, -1) {
				report(at[0], credential.name)
			}
		}
		for _, at := range assignment.FindAllSubmatchIndex(data, -1) {
			if value := string(data[at[2]:at[3]]); random(value) {
				report(at[0], "a secret value")
			}
		}
	}
	return all
}

// random reports whether a value looks drawn rather than written: several digits among its letters, and more than 3.2 bits of
// entropy per character, which neither words nor dates reach.
func random(value string) bool {
	counts := map[rune]float64{}
	digits := 0
	for _, c := range value {
		counts[c]++
		if strings.ContainsRune("0123456789", c) {
			digits++
		}
	}
	entropy := 0.0
	length := float64(len(value))
	for _, n := range counts {
		entropy -= n / length * math.Log2(n/length)
	}
	return digits >= 3 && digits < len(value) && entropy > 3.2
}

// Masked is a text for other people's eyes: what looks like a credential in it is replaced.
func Masked(text string) string {
	const mask = "(not shown)"
	for _, credential := range credentials {
		text = credential.pattern.ReplaceAllString(text, mask)
	}
	return assignment.ReplaceAllStringFunc(text, func(found string) string {
		if value := assignment.FindStringSubmatch(found)[1]; random(value) {
			return strings.Replace(found, value, mask, 1)
		}
		return found
	})
}
