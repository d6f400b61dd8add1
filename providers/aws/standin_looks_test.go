package aws_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// looks are what the stand-in has besides the value that is read: the answers of
// what only a doctor asks. Without may, they are AWS's to a caller who may read and
// nothing else.
type looks struct {
	may      bool
	names    []string          // of ListSecrets
	versions []map[string]any  // of ListSecretVersionIds; nil: there is no such secret
	regions  map[string]string // of DescribeSecret: there, deleted, denied, broken, silent; "": not there
	looked   []string          // what was asked for
}

// look answers as Secrets Manager in the region that the request is signed for.
func (s *standin) look(w http.ResponseWriter, req *http.Request, action string, body []byte) {
	var in struct {
		SecretID          string `json:"SecretId"`
		MaxResults        int
		IncludeDeprecated bool
		Filters           []struct {
			Key    string
			Values []string
		}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		s.t.Errorf("an unexpected request: %v", err)
	}
	region := signedFor(req)
	s.looked = append(s.looked, strings.TrimSpace(action+" "+region+" "+in.SecretID))
	notThere := &failure{status: http.StatusBadRequest, code: "ResourceNotFoundException", text: notFoundText}
	denied := &failure{status: http.StatusBadRequest, code: "AccessDeniedException", text: fmt.Sprintf(
		"User: arn:aws:iam::123456789012:user/trainer is not authorized to perform: secretsmanager:%[1]s because no identity-based policy allows the secretsmanager:%[1]s action", action)}
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	there := s.regions[region]
	switch {
	case !s.may || there == "denied":
		denied.inJSON(w)
	case action == "ListSecrets":
		list := []map[string]any{}
		for _, name := range s.names {
			if len(in.Filters) == 0 || in.Filters[0].Key == "name" && strings.HasPrefix(name, in.Filters[0].Values[0]) {
				list = append(list, map[string]any{"Name": name, "ARN": "arn:aws:secretsmanager:" + region + ":123456789012:secret:" + name + "-AbCdEf"})
			}
		}
		answer(map[string]any{"SecretList": list[:min(len(list), in.MaxResults)]})
	case action == "ListSecretVersionIds" && s.versions != nil:
		answer(map[string]any{"Name": in.SecretID, "Versions": s.versions})
	case action == "ListSecretVersionIds":
		notThere.inJSON(w)
	case action != "DescribeSecret":
		s.t.Errorf("an unexpected request: %s", action)
	case there == "there":
		answer(map[string]any{"Name": "mlflow/auth", "ARN": in.SecretID})
	case there == "deleted":
		answer(map[string]any{"Name": "mlflow/auth", "DeletedDate": 1.7e9})
	case there == "broken":
		(&failure{status: http.StatusBadRequest, code: "InvalidSignatureException", text: "Credential should be scoped to a valid region."}).inJSON(w)
	case there == "silent":
		s.mu.Unlock()
		<-req.Context().Done()
		s.mu.Lock()
	default:
		notThere.inJSON(w)
	}
}

// signedFor is the region of the request's signature.
func signedFor(req *http.Request) string {
	_, scope, _ := strings.Cut(req.Header.Get("Authorization"), "Credential=") // KEY/DATE/REGION/…
	if part := strings.Split(scope, "/"); len(part) > 2 {
		return part[2]
	}
	return ""
}

// identify answers as STS to GetCallerIdentity.
func (s *standin) identify(w http.ResponseWriter) {
	s.looked = append(s.looked, "GetCallerIdentity")
	w.Header().Set("Content-Type", "text/xml")
	if f := s.take(&s.identity); f != nil {
		f.inXML(w)
		return
	}
	if s.caller == "" {
		s.caller = "arn:aws:iam::123456789012:user/trainer"
	}
	_, _ = fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>%s</Arn><UserId>AIDAEXAMPLE</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>`, s.caller)
}
