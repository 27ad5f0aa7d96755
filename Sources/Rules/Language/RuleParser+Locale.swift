// The preset for pages in several languages: which one a reader gets, kept apart in the store by that
// alone, and said to the client.
//
//     locale { languages en de ja; default en; path on; query lang; cookie lang; }
//
// stands for
//
//     set $locale negotiate(header.accept-language, ["en", "de", "ja"], "en");
//     when cookie.lang in ["en", "de", "ja"] { set $locale cookie.lang; }
//     when query.lang in ["en", "de", "ja"] { set $locale query.lang; }
//     when path == "/en" || starts_with(path, "/en/") { set $locale "en"; }      # and so for each
//     set header.accept-language $locale;
//     vary_by $locale;
//     on response {
//       when response.status < 400 {
//         when !exists(response.header.content-language) { set header.content-language $locale; }
//         add header.vary "Accept-Language, Cookie";
//       }
//     }
//
// The origin is asked for that one language, so that its own `Vary: Accept-Language` makes one variant of
// each; other caches on the way are told by what the reader's choice was made.

extension RuleParser {
  /// `locale { languages …; default …; path on; query NAME; cookie NAME; }`
  mutating func locale(
    _ range: RuleRange, _ findings: inout RuleFindings
  ) -> RuleStatement.Kind? {
    let names = ["languages", "default", "path", "query", "cookie"]
    guard let options = options(names, &findings) else { return nil }
    guard let listed = options["languages"], !listed.isEmpty else {
      findings.error(
        "locale needs to know the languages", at: range, help: "add languages en de ja;")
      return nil
    }
    for language in listed where !isLanguageTag(language.text) {
      findings.error("\(shown(language.text)) is not a language tag", at: language.range)
      return nil
    }
    let languages = listed.map(\.text)
    let plain = options["default"]?.first
    if let plain, !languages.contains(plain.text) {
      findings.error(
        "\(shown(plain.text)) is not one of the languages", at: plain.range,
        suggestion: Spelling.nearest(to: plain.text, among: languages))
      return nil
    }
    if let value = options["path"]?.first, !["on", "off"].contains(value.text) {
      findings.error("path is on or off", at: value.range)
      return nil
    }
    let preset = Preset(range: range)
    let locale = Expression(kind: .variable("locale"), range: range)
    let list = Expression(kind: .list(languages.map(preset.text)), range: range)
    func choose(_ value: Expression) -> RuleStatement {
      preset.statement(.set(Target(kind: .variable("locale"), range: range), value))
    }
    let accepted = Expression(
      kind: .call(
        "negotiate", range,
        [preset.name("header.accept-language"), list, preset.text(plain?.text ?? languages[0])]),
      range: range)
    var request = [choose(accepted)]
    for (kind, option) in [("cookie", options["cookie"]), ("query", options["query"])] {
      guard let name = option?.first?.text else { continue }
      let value = preset.name("\(kind).\(name)")
      let isOne = Expression(kind: .compare(.isIn, value, list), range: range)
      request.append(preset.when(isOne, [choose(value)]))
    }
    if options["path"]?.first?.text == "on" {
      request += languages.map { language in
        preset.when(preset.isBelow("/\(language)"), [choose(preset.text(language))])
      }
    }
    let field = Target(kind: .field("accept-language"), range: range)
    request.append(preset.statement(.set(field, locale)))
    request.append(preset.statement(.varyBy([locale])))
    let vary = options["cookie"] == nil ? "Accept-Language" : "Accept-Language, Cookie"
    return .preset(request: request, response: [preset.says(locale, vary: vary)])
  }

  /// RFC 5646 §2.1, as far as its letters go.
  private func isLanguageTag(_ text: String) -> Bool {
    (1...35).contains(text.utf8.count) && text.utf8.first != UInt8(ascii: "-")
      && text.utf8.last != UInt8(ascii: "-")
      && text.utf8.allSatisfy {
        ($0 | 0x20) &- 0x61 < 26 || $0 &- 0x30 < 10 || $0 == UInt8(ascii: "-")
      }
  }
}

extension Preset {
  /// Whether the path is this one, or below it.
  fileprivate func isBelow(_ path: String) -> Expression {
    let isSame = Expression(kind: .compare(.equal, name("path"), text(path)), range: range)
    let begins = Expression(
      kind: .call("starts_with", range, [name("path"), text(path + "/")]), range: range)
    return Expression(kind: .any([isSame, begins]), range: range)
  }

  /// Says in a response which language it has, and by what that was chosen.
  fileprivate func says(_ locale: Expression, vary: String) -> RuleStatement {
    let language = "content-language"
    let isMissing = Expression(
      kind: .not(exists("response.header.\(language)")), range: range)
    let isGood = Expression(
      kind: .compare(
        .less, name("response.status"), Expression(kind: .integer(400), range: range)),
      range: range)
    let set = statement(.set(Target(kind: .field(language), range: range), locale))
    return when(isGood, [when(isMissing, [set]), change(field("vary", vary), isAdded: true)])
  }
}
