package headers

import (
	"fmt"
	"strings"
)

// From is a header whose value is in a field of a secret.
type From struct{ Name, Field string }

// ListFix says what such a list looks like.
const ListFix = "name a header for credentials and the field of the stored JSON that holds its value: export MLFLOW_SECRETS_HEADERS=X-Api-Key=api_key"

// List reads a comma list of Header-Name=field, or says why it cannot. The reason
// repeats no entry: a secret may have been put in its place.
func List(text string) (all []From, why string) {
	number := 0
	names := map[string]bool{}
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		number++
		name, field, _ := strings.Cut(entry, "=")
		name, field = strings.TrimSpace(name), strings.TrimSpace(field)
		if name == "" || field == "" {
			return nil, fmt.Sprintf("entry %d is not of the form Header-Name=field", number)
		}
		canonical, why := InSecret(name)
		switch {
		case why != "":
			return nil, fmt.Sprintf("the header's name in entry %d %s", number, why)
		case names[canonical]:
			return nil, fmt.Sprintf("the header of entry %d is there twice", number)
		}
		names[canonical] = true
		all = append(all, From{canonical, field})
	}
	if number == 0 && strings.TrimSpace(text) != "" {
		return nil, "there is no entry"
	}
	return all, ""
}
