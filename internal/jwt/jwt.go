// Package jwt reads when a token ends. It verifies nothing: that is for the server.
package jwt

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// latest keeps an end that is far off, or written in milliseconds, within what
// [time.Time] can print.
const latest = 253402300799 // 9999-12-31T23:59:59Z

// Expiry returns the time in the claim "exp" of a JSON Web Token (RFC 7519, section
// 4.1.4). It returns false for any other token: a JWT is three parts in base64url, of
// which the first is a JSON object with a text "alg" (RFC 7515) and the second one with
// a positive number "exp".
func Expiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	header, claims := decode(parts[0]), decode(parts[1])
	_, known := header["alg"].(string)
	exp, _ := claims["exp"].(float64)
	if !known || exp <= 0 {
		return time.Time{}, false
	}
	if _, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return time.Time{}, false
	}
	return time.Unix(int64(min(exp, latest)), 0), true
}

// decode reads a part that is a JSON object. Of anything else it returns nil. Names are
// compared with their case, which a struct would not do.
func decode(part string) (object map[string]any) {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil || json.Unmarshal(text, &object) != nil {
		return nil
	}
	return object
}
