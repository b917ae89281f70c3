"""Why the Hugging Face Hub did not give what it was asked for, in words for the person who asked."""

LOGIN = "log in with `hf auth login` or set HF_TOKEN"
KEPT = "what has arrived is kept, and the same command goes on where this one stopped"


def reason(error: Exception, page: str, name: str = "its name", revision: str = "its revision") -> str:
    """What went wrong and what to do.

    Args:
        error: what huggingface_hub or httpx has raised.
        page: address of the repository on the Hub.
        name: the option that names the repository.
        revision: the option that names the revision.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        return f"no such revision; check {revision}"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return f"{page} has no such file"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set and not all of it is in the cache; unset it, or fill the cache with it unset"
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is None:
        return f"the connection failed ({str(error) or type(error).__name__}); {KEPT}"
    gated = isinstance(error, errors.GatedRepoError)
    return _ANSWERS.get(403 if gated else status, "the Hub answers {status}; try again later: {kept}").format(
        page=page, name=name, status=status, login=LOGIN, kept=KEPT
    )


_ANSWERS = {
    401: "{page} is not there, or it is not open to all and the token is missing or wrong (401); check {name}, and {login}",
    403: "access to {page} is restricted ({status}); ask for it on that page, and {login}",
    404: "{page} is not there (404); check {name}, and HF_ENDPOINT if it is set",
}
