import Rules
import Testing

@Suite("Explanations")
struct ExplanationTests {
  @Test func `a record says what was asked, what the values were, and what was done`() throws {
    let rules = RuleText(
      """
      when starts_with(path, "/admin/") && client.ip in 10.0.0.0/8 {
        respond 403;
      }
      when cookie.lang == "ja" || header.accept-language == "ja" {
        set $lang "ja";
        redirect 302 "/${$lang}${path}";
      }
      on response { set header.x-done "yes"; }
      """)
    let program = RuleProgram(try #require(rules.code))
    let scratch = RuleScratch()
    let recorder = RuleRecorder()
    let ask = Ask("GET /x\nCookie: lang=de\nAccept-Language: ja")
    #expect(program.explain(ask.input, scratch, recorder) == .redirect)
    #expect(
      recorder.rendered == """
            1 | when starts_with(path, "/admin/") && client.ip in 10.0.0.0/8: no
            4 | when cookie.lang == "ja" || header.accept-language == "ja": yes
              |   cookie.lang is "de"
              |   header.accept-language is "ja"
            5 | set $lang "ja";  -> "ja"
            6 | redirect 302 "/${$lang}${path}";  -> "/ja/x"

        """)
    let later = RuleRecorder()
    #expect(program.explainResponse(ask.input, scratch, later) == .proceed)
    #expect(later.events.map(\.line) == [8])
    // Without a recorder the same comes of it.
    #expect(program.run(ask.input, scratch) == .redirect)
  }
}
