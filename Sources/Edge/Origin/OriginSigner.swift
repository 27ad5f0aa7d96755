// Private object storage as an origin: requests are signed as they go out, each try anew, whatever carries
// it (`OriginRequest.compose`). What is signed is the head as it was composed, so that nothing on the way to
// it can be forgotten: ranges, conditions, fields that rules have set.
//
// Keys may be temporary, and another program may renew them in their file; each request asks whether there
// is a newer one, which costs an atomic load.

internal import Authentication
package import Bytes
internal import Configuration
internal import Cryptography
internal import EventLoop
internal import HTTPMessage
package import Origins
internal import RequestSigning
internal import StaticFiles

/// What one worker signs requests to one pool with.
package final class OriginSigner {
  private let signer: RequestSigner
  private let source: Published<SigningCredentials>
  private var credentials: SigningCredentials
  private var number: UInt64
  private let methods: Set<Method>
  /// What `Allow` says.
  private let allowed: String
  private var output = ByteBuffer()

  /// Nil if there are no such credentials, or no memory.
  ///
  /// - Parameter keepsQuery: whether queries go along whatever the configuration says of clients'.
  init?(
    _ configuration: OriginSigningConfiguration, _ all: NodeCredentials, keepsQuery: Bool = false
  ) {
    guard let source = all.signing(configuration.credentials),
      let signer = try? RequestSigner(
        region: configuration.region, service: configuration.service,
        dropsQuery: !(keepsQuery || configuration.keepsQuery))
    else { return nil }
    self.signer = signer
    self.source = source
    (credentials, number) = source.current
    methods = Set(configuration.methods.map { name in name.withView { Method.identify($0) } })
    allowed = configuration.methods.joined(separator: ", ")
  }

  /// Whether clients may use a method.
  func takes(_ method: Method) -> Bool { methods.contains(method) }

  /// The answer to those that they may not use.
  var refusal: FileAnswer {
    var answer = FileAnswer(status: 405)
    answer.lines = Array("allow: \(allowed)\r\n".utf8)
    return answer
  }

  /// Signs the head of a request in its place. Where that fails, which it does for want of memory only, it
  /// goes as it is, and the service says no.
  ///
  /// - Parameter now: milliseconds since the epoch.
  func sign(_ head: inout ByteBuffer, hasContent: Bool, now: Int64) {
    if source.generation != number { (credentials, number) = source.current }
    output.removeAll()
    do throws(OpenSSLError) {
      try signer.sign(
        head.view, content: hasContent ? .unsigned : .none, at: now, for: credentials, to: &output)
    } catch {
      return
    }
    head.removeAll()
    head.append(output.view)
  }
}

extension OriginSigner: CheckSigner {
  package func sign(_ head: inout ByteBuffer, now: Int64) {
    sign(&head, hasContent: false, now: now)
  }
}

extension CheckedPool {
  /// A pool whose checks are signed as requests to it are: a store that is private answers others with 403.
  /// A query in the path of a check is the operator's own, and goes along.
  package init(_ pool: OriginPool, _ credentials: NodeCredentials) {
    guard let signing = pool.configuration.signing else {
      self.init(pool)
      return
    }
    self.init(pool) { OriginSigner(signing, credentials, keepsQuery: true) }
  }
}

/// A section of a file of credentials.
struct SigningFile: Hashable, Sendable {
  let path: String
  let profile: String

  /// What it has now.
  func read(_ path: String) throws(CredentialDefect) -> SigningCredentials {
    let content: [UInt8]
    do throws(Errno) {
      content = try SmallFile.read(path, maxBytes: 1 << 20)
    } catch {
      throw CredentialDefect(file: path, line: 0, text: "\(error)")
    }
    do throws(SigningCredentialsDefect) {
      return try SigningCredentials.parse(
        String(decoding: content, as: UTF8.self), profile: profile)
    } catch {
      throw CredentialDefect(file: path, line: error.line, text: error.text)
    }
  }
}

extension NodeCredentials {
  /// Whom requests are signed for; nil if the configuration has nobody who could be.
  func signing(
    _ source: OriginSigningConfiguration.Credentials
  ) -> Published<SigningCredentials>? {
    switch source {
    case .file(let path, let profile): signing[SigningFile(path: path, profile: profile)]
    case .given(let name, let secret, let token):
      SigningCredentials(
        accessKey: name, secretKey: secret.text, sessionToken: token?.text
      ).map { Published($0) }
    }
  }
}
