package jwt

import (
	"encoding/base64"
	"testing"
	"time"
)

// token is a JWT of these parts, with a signature that nobody has made.
func token(header, payload string) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(header)) + "." + b([]byte(payload)) + "." + b([]byte("signature"))
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	const header, payload = `{"alg":"RS256","typ":"JWT"}`, `{"sub":"trainer","exp":1800000000}`
	none := time.Time{}
	for name, test := range map[string]struct {
		token string
		want  time.Time
	}{
		"a JWT":                           {token(header, payload), time.Unix(1800000000, 0)},
		"exp is a fraction":               {token(header, `{"exp":1800000000.9}`), time.Unix(1800000000, 0)},
		"exp is written with an exponent": {token(header, `{"exp":1.8e9}`), time.Unix(1800000000, 0)},
		"exp is far off":                  {token(header, `{"exp":1e300}`), time.Unix(latest, 0)},
		"unsecured":                       {token(`{"alg":"none"}`, payload), time.Unix(1800000000, 0)},
		"without a signature":             {"eyJhbGciOiJub25lIn0.eyJleHAiOjE4MDAwMDAwMDB9.", time.Unix(1800000000, 0)},
		"without exp":                     {token(header, `{"sub":"trainer"}`), none},
		"exp is text":                     {token(header, `{"exp":"1800000000"}`), none},
		"exp is null":                     {token(header, `{"exp":null}`), none},
		"exp is zero":                     {token(header, `{"exp":0}`), none},
		"exp is negative":                 {token(header, `{"exp":-1}`), none},
		"exp is beyond every number":      {token(header, `{"exp":1e400}`), none},
		"EXP":                             {token(header, `{"EXP":1800000000}`), none},
		"without alg":                     {token(`{"typ":"JWT"}`, payload), none},
		"alg is a number":                 {token(`{"alg":256}`, payload), none},
		"the header is a list":            {token(`["alg"]`, payload), none},
		"the header is null":              {token(`null`, payload), none},
		"the payload is a list":           {token(header, `[1800000000]`), none},
		"the payload is no JSON":          {token(header, `exp=1800000000`), none},
		"the payload is cut off":          {token(header, `{"exp":1800000000`), none},
		"padded":                          {"eyJhbGciOiJub25lIn0=.eyJleHAiOjE4MDAwMDAwMDB9.", none},
		"in standard base64":              {token(header, payload) + "+/", none},
		"two parts":                       {"eyJhbGciOiJub25lIn0.eyJleHAiOjE4MDAwMDAwMDB9", none},
		"four parts":                      {token(header, payload) + ".x", none},
		"dots":                            {"..", none},
		"opaque":                          {"0f8fad5b-d9cb-469f-a165-70867728950e", none},
		"empty":                           {"", none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := Expiry(test.token)
			if !got.Equal(test.want) || ok == test.want.IsZero() {
				t.Errorf("%v, %v; want %v", got, ok, test.want)
			}
		})
	}
}
