"""Log-in through an OpenID Connect provider: authorization code flow with PKCE, OpenID Connect Core 1.0.

The browser is sent to the provider with a state that the database keeps and that only this browser's cookie goes with
(routes). What comes back is exchanged for an ID token and checked (provider), the user found among the people of the
registry (people), and the session begins as one by password does.
"""

from api.oidc import routes

__all__ = ["routes"]
