// The rules of sites and routes, as the reference shows them. Their language is the module Rules';
// docs/rules.md is its reference.

extension Setting {
  /// The rules that may stand in a block.
  static func rules(in block: Block) -> [Setting] {
    [
      rule(
        "when", block, "CONDITION", hasBlock: true, aliases: ["if"],
        """
        Rules for requests for which the condition holds; `else { … }` and `else when … { … }` may \
        follow. Rules run from the top, those of the site first; docs/rules.md is their reference.
        """),
      rule(
        "respond", block, "STATUS [TEXT] [{ FIELD TEXT; … }]", aliases: ["return", "error"],
        "Answers the request, with content and fields."),
      rule(
        "redirect", block, "STATUS TEXT [{ FIELD TEXT; … }]", aliases: ["redir"],
        "Answers with another address: 301, 302, 303, 307 or 308."),
      rule(
        "rewrite", block, "path|query TEXT", aliases: ["uri", "strip_prefix"],
        "Replaces the path or the query for the cache and the origin."),
      rule(
        "set", block, "$NAME|header.NAME VALUE",
        aliases: ["add_header", "header_up", "more_set_headers"],
        "Sets a variable, or a field: of the request, or in `on response` of the response."),
      Setting(
        "redirects", in: block, shape: "FILE [STATUS]", range: "301, 302, 303, 307, 308",
        repeatable: true, aliases: ["redirect_map", "moved"],
        """
        Sends requests for paths that a file has on to what stands behind them there, a path and an \
        address on each line; with 301, or the status that is given. It stands among the rules as one of \
        them, and the file is read again when it changes.
        """
      ) { arguments, reader in reader.readRedirects(&arguments, in: block) },
      Setting(
        "cookies", in: block, .choice([("keep", false), ("drop", true)]), default: "keep",
        aliases: ["strip_cookies", "ignore_cookies"],
        """
        `drop` takes the cookies from requests before anything looks at them: rules, keys, `Vary` and the \
        origin. For what is static, so that a cookie of the site keeps nobody from a shared answer.
        """
      ) { dropped, reader in reader.readCookies(dropped, in: block) },
      rule("unset", block, "header.NAME", "Removes a field."),
      rule("add", block, "header.NAME TEXT", "Adds a line of a field."),
      rule(
        "vary_by", block, "TEXT, …",
        "Keeps a stored response for each value apart, besides the target and `Vary`."),
      rule("tag", block, "TEXT, …", "Adds tags to the response, by which it can be purged."),
      rule("log", block, "NAME VALUE", "Adds a member to the access log's line."),
      rule(
        "on", block, "response", hasBlock: true, aliases: ["header_down"],
        "Rules for the response, stored or not, before the client gets it."),
      rule(
        "degrade", block, "", hasBlock: true, aliases: ["fallback", "on_error"],
        """
        Rules for when no server can answer and nothing stored may be served: `respond`, `redirect`, or \
        another `origin`, perhaps in `when`. Those of a route count in place of its site's.
        """),
      rule(
        "cors", block, "", hasBlock: true,
        "Answers preflight requests, and lets other sites' scripts read responses."),
      rule(
        "security_headers", block, "[{ … }]",
        "Sets `Strict-Transport-Security` and its like where the origin has not."),
      rule(
        "locale", block, "{ languages TAG…; … }", hasBlock: true, aliases: ["i18n", "languages"],
        "Chooses the reader's language, keeps what is stored apart by it, and says so to the client."
      ),
    ]
  }

  private static func rule(
    _ name: String, _ block: Block, _ shape: String, hasBlock: Bool = false, aliases: [String] = [],
    _ text: String
  ) -> Setting {
    Setting(
      name, in: block, shape: shape, body: hasBlock ? .rules : .none, repeatable: true,
      aliases: aliases, text
    ) { _, _ in }
  }
}
