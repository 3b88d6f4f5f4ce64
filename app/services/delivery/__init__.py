"""Alerts on their way out: what is sent, how each kind of destination takes it, and when.

    message   what an alert says to somebody else: a document, a sentence, a picture
    outcome   how an attempt ended
    dial      connections to hosts that may be connected to, and to the address that was checked
    webhook   HTTP POST, signed
    mqtt      topics camera by camera, and devices of Home Assistant
    mail      SMTP
    notify    Apprise: ntfy, Telegram and the rest
    outbox    one attempt for each delivery that is due, and what follows from its outcome

Decision: Standard Webhooks (github.com/standard-webhooks) for ids, time stamps and signatures,
because receivers have libraries for it in every language.
Decision: paho-mqtt and smtplib, both without asyncio: an attempt is a thread's, as every job here.
Decision: Apprise is an extra, because it brings a hundred services that nobody here can check; its
connections are its own, and only the host of an address is checked before.
"""
