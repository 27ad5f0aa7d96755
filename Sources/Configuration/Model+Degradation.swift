// What clients get where an origin cannot answer.

/// `error_page`: the content of errors that the node itself answers.
public struct ErrorPageConfiguration: Sendable, Equatable {
  /// Which errors.
  public var statuses: [ClosedRange<UInt16>]
  /// The page, with `{request_id}` and `{status}` where those go.
  public var content: [UInt8]
  /// The extension of its file, which says what it is; nil: it stands in the configuration.
  public var fileExtension: String?

  /// A page.
  public init(statuses: [ClosedRange<UInt16>], content: [UInt8], fileExtension: String?) {
    self.statuses = statuses
    self.content = content
    self.fileExtension = fileExtension
  }
}
