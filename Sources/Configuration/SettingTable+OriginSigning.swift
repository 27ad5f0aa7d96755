// The settings of `sign aws4 { … }` in an origin: private object storage.

internal import RequestSigning

/// What the open block has been told.
struct OriginSigningDraft {
  var region = ""
  var service = "s3"
  var accessKey: Placed<String>?
  var secretKey: String?
  var sessionToken: String?
  var file: OriginSigningConfiguration.Credentials?
  var methods = ["GET", "HEAD"]
  var keepsQuery = false
  /// Where the block stands.
  var place: SourceRange?
}

extension Setting {
  static let originSigningBlock = Setting(
    "sign", in: .origin, shape: "aws4", body: .block(.originSigning),
    aliases: ["aws_auth", "s3", "proxy_set_header_authorization", "signature"],
    """
    Signs each request to the pool by AWS Signature Version 4, as S3 and all that speak it want to have it. What \
    clients say in `Authorization` and in fields that begin with `X-Amz-` does not go there.
    """
  ) { arguments, reader in reader.readOriginSigning(&arguments) }

  static let originSigning: [Setting] = [
    Setting(
      "region", in: .originSigning, .name, presence: .required, example: "region eu-central-1;",
      "The region that the service is in; where there are none, what its documentation says."
    ) { name, reader in reader.draft.signing.region = name.value },
    Setting(
      "service", in: .originSigning, .name, to: \.signing.service,
      "The service, as signatures name it."),
    Setting(
      "access_key", in: .originSigning, .accessKey, aliases: ["aws_access_key_id", "key"],
      "The name of the key; `secret_key` is its secret."
    ) { name, reader in reader.draft.signing.accessKey = name },
    Setting(
      "secret_key", in: .originSigning, shape: "file:PATH|${NAME}",
      aliases: ["aws_secret_access_key", "secret"], secret: true,
      """
      The key's secret: from a file, which nobody but its user and group may be able to read, or from the \
      environment. It may not stand in the configuration.
      """
    ) { arguments, reader in
      reader.draft.signing.secretKey = reader.readSigningSecret(&arguments)
    },
    Setting(
      "session_token", in: .originSigning, shape: "file:PATH|${NAME}",
      aliases: ["aws_session_token", "security_token"], secret: true,
      "The token of a temporary key, from a file or the environment."
    ) { arguments, reader in
      reader.draft.signing.sessionToken = reader.readSigningSecret(&arguments)
    },
    Setting(
      "credentials", in: .originSigning, shape: "FILE [profile=NAME]",
      aliases: ["shared_credentials_file", "aws_shared_credentials_file"],
      argumentNames: ["profile"],
      """
      A file with key, secret and token, in place of the three settings: of its section `[default]`, or of \
      that which `profile` names, `aws_access_key_id`, `aws_secret_access_key` and `aws_session_token`. It \
      is read again when it changes, so another program may renew temporary keys there.
      """
    ) { arguments, reader in reader.readCredentialsFile(&arguments) },
    Setting(
      "methods", in: .originSigning, shape: "METHOD…", default: "GET HEAD",
      aliases: ["allowed_methods", "limit_except"],
      """
      The methods that clients may use there; others are answered with 405. Who may PUT can write, with the \
      node's key.
      """
    ) { arguments, reader in reader.readSignedMethods(&arguments) },
    Setting(
      "query", in: .originSigning, .choice([("drop", false), ("keep", true)]),
      to: \.signing.keepsQuery,
      """
      Whether queries of clients go to the service. There they are orders (`?acl`, `?list-type=2`, `?versionId`), \
      so by default they do not.
      """),
  ]
}

// MARK: - Reading them

extension Reader {
  /// `sign aws4 { … }`
  mutating func readOriginSigning(_ arguments: inout Arguments) {
    draft.signing = OriginSigningDraft()
    draft.signing.place = arguments.directive.range
    _ = arguments.next(.choice([("aws4", true)]), &findings)
    let seen = read(.originSigning, arguments.body, of: arguments.directive)
    guard let credentials = signingCredentials(of: arguments.directive, seen) else { return }
    draft.origin.signing = OriginSigningConfiguration(
      region: draft.signing.region, service: draft.signing.service, credentials: credentials,
      methods: draft.signing.methods, keepsQuery: draft.signing.keepsQuery)
  }

  private mutating func signingCredentials(
    of directive: Directive, _ seen: Seen
  ) -> OriginSigningConfiguration.Credentials? {
    if let file = seen.settings["credentials"] {
      for name in ["access_key", "secret_key", "session_token"] {
        guard let other = seen.settings[name] else { continue }
        findings.error(
          "\"\(name)\" cannot stand beside \"credentials\"", at: other,
          related: Finding.Note(message: "which is here", range: file))
      }
      return draft.signing.file
    }
    guard seen.has("access_key"), seen.has("secret_key") else {
      guard isComplete, directive.isWhole else { return nil }
      let missing = seen.has("access_key") ? "secret_key" : "access_key"
      findings.error(
        "\(directive.described) has no \"\(missing)\"", at: directive.range,
        help: "add access_key NAME; secret_key file:PATH; or credentials FILE;")
      return nil
    }
    guard let name = draft.signing.accessKey, let secret = draft.signing.secretKey else {
      return nil
    }
    return .given(
      accessKey: name.value, secretKey: FleetConfiguration.Secret(secret),
      sessionToken: draft.signing.sessionToken.map { FleetConfiguration.Secret($0) })
  }

  /// `secret_key file:PATH;`, `secret_key ${NAME};` The file's content is in its place already.
  mutating func readSigningSecret(_ arguments: inout Arguments) -> String? {
    guard let secret = arguments.next(.signingSecret, &findings) else { return nil }
    if arguments.isFromFile || findings.expansion?.hasValue(in: secret.range) == true {
      return secret.value
    }
    findings.error(
      "\(arguments.directive.name.text): a secret may not stand in the configuration",
      at: secret.range,
      help: "put it in a file of its own, and write file:PATH; or ${NAME} for the environment's")
    return nil
  }

  /// `credentials FILE [profile=NAME];`
  mutating func readCredentialsFile(_ arguments: inout Arguments) {
    guard let path = arguments.next(.path("FILE", of: "a file"), &findings) else { return }
    let profile = arguments.named("profile", .name, &findings)?.value ?? "default"
    let absolute = resolve(path.value)
    draft.signing.file = .file(absolute, profile: profile)
    switch FileContents.read(absolute, most: 1 << 20, onlyRegular: true) {
    case .failure(let problem):
      findings.error(
        "credentials: \(quoted(path.value)) \(problem.described)", at: path.range,
        help: "the path starts from the configuration's directory")
    case .success(let contents) where contents.isReadableByOthers:
      findings.error(
        "credentials: \(quoted(path.value)) can be read by every user", at: path.range,
        help: "chmod o-rwx \(path.value)")
    case .success(let contents):
      do throws(SigningCredentialsDefect) {
        _ = try SigningCredentials.parse(
          String(decoding: contents.bytes, as: UTF8.self), profile: profile)
      } catch {
        let place = error.line > 0 ? ", line \(error.line)" : ""
        findings.error("credentials: \(quoted(path.value))\(place): \(error.text)", at: path.range)
      }
    }
  }

  /// `methods METHOD…;`
  mutating func readSignedMethods(_ arguments: inout Arguments) {
    draft.signing.methods = []
    repeat {
      let known = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]
      guard let name = arguments.next(.choice(known.map { ($0, $0) }), &findings) else { continue }
      draft.signing.methods.append(name.value)
    } while arguments.upcoming != nil
  }

  /// A signature names the host: without one of its own, a pool whose requests are signed has its servers'.
  mutating func decideSigning(of origin: Directive) {
    defer { draft.signing = OriginSigningDraft() }
    guard let place = draft.signing.place, draft.origin.signing != nil else { return }
    if draft.origin.files != nil {
      findings.error("\"sign\" means nothing for files", at: place)
      return
    }
    guard draft.origin.hostField == nil else { return }
    var hosts: Set<String> = []
    for server in draft.origin.servers {
      guard case .host(let name, let port) = server.address else {
        hosts = []
        break
      }
      let usual: UInt16 = draft.origin.tls == nil ? 80 : 443
      let text = name.contains(":") ? "[\(name)]" : name
      hosts.insert(port == usual ? text : "\(text):\(port)")
    }
    guard hosts.count == 1, let host = hosts.first else {
      guard isComplete, origin.isWhole else { return }
      findings.error(
        "\(origin.described) signs requests, and it is not clear for which host", at: place,
        help: "add host BUCKET.s3.REGION.amazonaws.com; to the origin")
      return
    }
    draft.origin.hostField = host
  }
}

extension Syntax where Value == String {
  /// The name of a key.
  fileprivate static var accessKey: Syntax {
    Syntax(
      "NAME", expected: "a key's name such as AKIAIOSFODNN7EXAMPLE",
      read: { text throws(Problem) in
        guard SigningCredentials.isName(text) else {
          throw Problem("\(quoted(text)) is not a key's name")
        }
        return text
      }, write: { $0 })
  }

  /// A secret. What is wrong with one is said without it.
  fileprivate static var signingSecret: Syntax {
    Syntax(
      "file:PATH|${NAME}", expected: "file:PATH or ${NAME}",
      read: { text throws(Problem) in
        guard SigningCredentials.isVisible(text) else {
          throw Problem("it is empty, too long, or has characters that no secret has")
        }
        return text
      }, write: { $0 })
  }
}
