/// An `auth_service` block: who is asked whether a request may pass.
public struct AuthenticationServiceConfiguration: Sendable, Equatable {
  /// Its name.
  public var name: String
  /// The pool that is asked.
  public var origin = ""
  /// The path that it is asked by.
  public var path = "/"
  /// The request's fields that it is told, in lower case; nil: all.
  public var sentFields: [String]?
  /// Fields of its answer that go into the request, in lower case.
  public var requestFields: [String] = []
  /// Fields of its answer that go to the client, in lower case.
  public var responseFields: [String] = []
  /// The field of its answer that says who asks, in lower case; nil: nobody is told.
  public var subjectField: String?
  /// How long a request waits for it, nanoseconds.
  public var timeout: Int64 = 5_000_000_000
  /// How long an answer is kept, nanoseconds; 0: not at all.
  public var lifetime: Int64 = 0
  /// What an answer is kept for.
  public var key: [ServiceKeyPart] = []
  /// The most answers that each worker keeps.
  public var maxAnswers = 10_000

  /// A service of a name.
  public init(name: String) { self.name = name }
}

/// A part of what a service's answer is kept for.
public enum ServiceKeyPart: Sendable, Hashable {
  /// The client's address.
  case clientAddress
  /// A field; its name in lower case.
  case field(String)
  /// A cookie.
  case cookie(String)
  /// The host.
  case host
  /// The path, without the query.
  case path
  /// The path and the query.
  case target
  /// The method.
  case method

  /// As it is written.
  public var text: String {
    switch self {
    case .clientAddress: "client.ip"
    case .field(let name): "header.\(name)"
    case .cookie(let name): "cookie.\(name)"
    case .host: "host"
    case .path: "path"
    case .target: "target"
    case .method: "method"
    }
  }
}
