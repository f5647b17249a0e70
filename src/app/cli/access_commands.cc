#include <google/protobuf/util/time_util.h>

#include <iostream>

#include "app/cli/ask_secret.h"
#include "app/cli/commands.h"
#include "app/cli/role_words.h"

namespace gantry::app {
namespace {

// A server nobody vouches for is trusted by a person who compares what it shows, as with SSH.
Result<ServerAddress> trust_server(ServerAddress address, const std::string& fingerprint) {
  HttpsClient client(address);
  const auto shown = client.peek_fingerprint();
  if (!shown) return fail(shown.error());
  if (fingerprint.empty()) {
    std::cerr << "The server's certificate has the SHA-256 fingerprint\n  " << *shown
              << "\nCompare it with the one gantryd printed at its first start (or: gantryd --show-fingerprint). Trust "
                 "it? [y/N] ";
    std::string answer;
    std::getline(std::cin, answer);
    if (answer != "y" && answer != "yes") {
      return fail(ErrorCode::permission_denied, "the server is not trusted", "you did not confirm its fingerprint");
    }
    address.fingerprint = *shown;
    return address;
  }
  if (fingerprint != *shown) {
    return fail(ErrorCode::permission_denied, "the server is not the one expected", "its fingerprint is " + *shown);
  }
  address.fingerprint = fingerprint;
  return address;
}

int sign_in(const std::string& url, const std::string& user, const std::string& fingerprint) {
  const auto parsed = parse_server_address(url);
  if (!parsed) return report(parsed.error());
  const auto address = trust_server(*parsed, fingerprint);
  if (!address) return report(address.error());
  v1::LoginRequest request;
  request.set_user(user);
  request.set_password(ask_secret("Password of " + user));
  ApiClient client(Settings{*address, ""});
  const auto answer = client.call<v1::LoginAnswer>("Login", request);
  if (!answer) return report(answer.error());
  if (const auto kept = keep_login(Settings{*address, answer->token()}); !kept) return report(kept.error());
  std::cout << "signed in as " << user << "\n";
  return 0;
}

void add_login(const Commands& commands) {
  struct Options {
    std::string url = "https://127.0.0.1:8443";
    std::string user = "admin";
  };
  auto* login =
      commands.add(commands.app, "login", "Sign in to a server and keep that",
                   "gantry login https://server:8443\ngantry login --user admin https://server:8443 --fingerprint HEX");
  auto options = std::make_shared<Options>();
  login->add_option("server", options->url, "Its address")->capture_default_str();
  login->add_option("-u,--user", options->user, "User")->capture_default_str();
  commands.run(login, [&session = commands.session, options] {
    if (session.options.dry_run) {
      return report(Error{ErrorCode::invalid_argument, "signing in cannot be planned",
                          "it changes nothing but who you are", "leave --dry-run out"});
    }
    return sign_in(options->url, options->user, session.options.settings.fingerprint);
  });

  auto* logout = commands.add(commands.app, "logout", "Close the session and forget it", "gantry logout");
  commands.run(logout, [&session = commands.session] {
    auto client = session.api();
    if (!client) return report(client.error());
    if (session.options.dry_run) return session.run_direct<v1::Empty>("Logout", v1::Empty(), {});
    const auto closed = (*client)->call<v1::Empty>("Logout", v1::Empty());
    const auto forgotten = forget_login();
    if (!closed) return report(closed.error());
    return forgotten ? 0 : report(forgotten.error());
  });
}

void print_session(const v1::CurrentSession& current) {
  using google::protobuf::util::TimeUtil;
  std::cout << "user:   " << current.user() << "\n";
  std::cout << "role:   " << role_word(current.role()) << "\n";
  if (current.has_expires_at()) std::cout << "unused: ends " << TimeUtil::ToString(current.expires_at()) << "\n";
  std::cout << "ends:   " << (current.has_ends_at() ? TimeUtil::ToString(current.ends_at()) : "never") << "\n";
}

void add_whoami(const Commands& commands) {
  auto* whoami = commands.add(commands.app, "whoami", "Say who you are to the server, and what you may do",
                              "gantry whoami\ngantry whoami -o json");
  commands.run(whoami, [&session = commands.session] {
    auto client = session.api();
    if (!client) return report(client.error());
    const auto current = (*client)->call<v1::CurrentSession>("GetCurrentSession", v1::Empty());
    if (!current) return report(current.error());
    if (session.format() == Format::table) {
      print_session(*current);
    } else {
      print_record(*current, session.format());
    }
    return 0;
  });
}

// Of the one who is signed in, by the current password; or, as root of this machine, of anybody.
int change_password(Session& session, const std::string& user) {
  auto settings = user.empty() ? find_settings(session.options.settings) : find_root_settings(session.options.settings);
  if (!settings) return report(settings.error());
  ApiClient client(std::move(*settings));
  v1::ChangePasswordRequest request;
  request.set_user(user);
  if (user.empty()) request.set_current_password(ask_secret("Current password"));
  const auto fresh = ask_new_password("New password" + (user.empty() ? "" : " of " + user));
  if (!fresh) return report(fresh.error());
  request.set_new_password(*fresh);
  return session.run_direct_by<v1::Empty>(client, "ChangePassword", request, [](const v1::Empty&) { return 0; });
}

void add_password(const Commands& commands) {
  auto* password =
      commands.add(commands.app, "password", "Change your password, or as root anybody's",
                   "gantry password\nsudo gantry password --user admin    (a lost one: asks for no old one)");
  auto user = std::make_shared<std::string>();
  password->add_option("-u,--user", *user, "Set this user's password; only for root on the server's machine");
  commands.run(password, [&session = commands.session, user] { return change_password(session, *user); });
}

Table token_table(const v1::ApiTokenList& list) {
  using google::protobuf::util::TimeUtil;
  Table table({"NAME", "ROLE AT MOST", "CREATED", "ENDS", "ID"});
  for (const auto& token : list.items()) {
    table.add({token.meta().name(), token.role_max() == v1::NO_ROLE ? "yours" : role_word(token.role_max()),
               TimeUtil::ToString(token.meta().created_at()),
               token.has_expires_at() ? TimeUtil::ToString(token.expires_at()) : "never", token.meta().id()});
  }
  return table;
}

void add_tokens(const Commands& commands) {
  auto* group =
      commands.group("token", "API tokens, for programs", "gantry token list\ngantry token create ci --days 90");
  auto name = std::make_shared<std::string>();
  auto days = std::make_shared<std::uint32_t>(0);

  auto* list = commands.add(*group, "list", "List your tokens", "gantry token list");
  commands.run(list, [&session = commands.session] {
    auto client = session.api();
    if (!client) return report(client.error());
    const auto tokens = (*client)->call<v1::ApiTokenList>("ListTokens", v1::Empty());
    if (!tokens) return report(tokens.error());
    if (session.format() == Format::table) {
      std::cout << token_table(*tokens).text();
    } else {
      print_record(*tokens, session.format());
    }
    return 0;
  });

  auto role = std::make_shared<v1::Role>(v1::NO_ROLE);
  auto* create = commands.add(*group, "create", "Make a token; it is shown once",
                              "gantry token create ci --days 90\ngantry token create dashboard --role viewer");
  add_role_option(*create, *role, "It may no more than that; without, as much as you");
  create->add_option("name", *name, "What it is for")->required();
  create->add_option("--days", *days, "Days until it ends; without, it never does")
      ->type_name("N")
      ->check(within(1, 36'500));
  commands.run(create, [&session = commands.session, name, days, role] {
    v1::CreateTokenRequest request;
    request.set_role_max(*role);
    request.set_name(*name);
    request.set_lifetime_days(*days);
    return session.run_direct<v1::CreateTokenAnswer>("CreateToken", request, [&](const v1::CreateTokenAnswer& made) {
      if (session.format() == Format::table) {
        std::cout << made.token() << "\n";
      } else {
        print_record(made, session.format());
      }
      return 0;
    });
  });

  auto* remove = commands.add(*group, "delete", "Revoke a token", "gantry token delete ci");
  remove->add_option("name", *name, "Name or id")->required()->type_name("TOKEN");
  commands.run(remove, [&session = commands.session, name] {
    v1::ById request;
    request.set_id(*name);
    return session.run_direct<v1::Empty>("DeleteToken", request, [](const v1::Empty&) { return 0; });
  });
}

}  // namespace

void add_access_commands(const Commands& commands) {
  add_login(commands);
  add_whoami(commands);
  add_password(commands);
  add_tokens(commands);
}

}  // namespace gantry::app
