// The dashboard: one page without requests of its own but to this listener's routes. Its parts lie in
// Dashboard/ and are compiled in. What may run on it is said by digest (Content Security Policy Level 3,
// `'sha256-…'`): only the script and the style that are part of it, whatever else gets into the page.

internal import Bytes
internal import Cryptography

enum DashboardPage {
  /// The page, which is always the same.
  static let response: AdminResponse = {
    let style = PackageResources.style_css
    let script = PackageResources.script_js
    var page: [UInt8] = []
    for line in PackageResources.page_html.split(
      separator: ASCII.lf, omittingEmptySubsequences: false)
    {
      switch line {
      case Self.stylePlace: page += tagged("style", style)
      case Self.scriptPlace: page += tagged("script", script)
      default: page += line
      }
      page.append(ASCII.lf)
    }
    var response = AdminResponse(contentType: "text/html; charset=utf-8", content: page)
    response.fields = [
      ("content-security-policy", policy(style: style, script: script)),
      ("referrer-policy", "no-referrer"), ("cross-origin-opener-policy", "same-origin"),
      ("cross-origin-resource-policy", "same-origin"),
    ]
    return response
  }()

  /// The lines of the page that stand for the parts.
  private static let stylePlace = Array("<!-- style.css -->".utf8)[...]
  private static let scriptPlace = Array("<!-- script.js -->".utf8)[...]

  private static func tagged(_ name: String, _ content: [UInt8]) -> [UInt8] {
    Array("<\(name)>".utf8) + content + Array("</\(name)>".utf8)
  }

  private static func policy(style: [UInt8], script: [UInt8]) -> String {
    [
      "default-src 'none'", "style-src \(source(style))", "script-src \(source(script))",
      "connect-src 'self'", "img-src data:", "base-uri 'none'", "form-action 'none'",
      "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
    ].joined(separator: "; ")
  }

  /// The digest of a part; without one, nothing runs.
  private static func source(_ part: [UInt8]) -> String {
    guard let context = try? DigestContext.make(.sha256),
      let digest = part.withView({ try? context.digest256($0) })
    else { return "'none'" }
    // Of 32 bytes 43 letters, and one to fill up.
    let letters = Base64URL.encode(digest.array).map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
    return "'sha256-\(String(letters))='"
  }
}
