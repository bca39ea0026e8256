"""What other files of the user's workspace define, which of it the code at the cursor refers to, and where they have
code like it.

How a front end uses it:

    index = WorkspaceIndex(folders, may_be_read=lambda path: may_be_read(path, rules))
    indexer = Indexer(index)
    indexer.start()                             # reads the folders in a thread of its own
    indexer.changed(path, text)                 # an open document; without a text, a file that changed on the disk
    indexer.removed(path)
    ...
    found = related(Place(path, language, text, offset), index)
    for excerpt in excerpts(found, budget=4000):
        excerpt.path, excerpt.text              # for the repository form of a prompt family, or: as_comment(excerpt)
    for excerpt in similar(Place(path, language, text, offset), index, budget=1600):
        ...                                     # code like that before the cursor's line, the most alike last
    indexer.close()

`related` looks only at the text before `offset`. With the start of the cursor's line as the offset, a key typed in that
line changes nothing. Nothing here knows of a protocol, of settings, or of models.
"""

from lacuna_server.workspace.contexts import DocumentContext, DocumentContexts
from lacuna_server.workspace.definitions import Definition, Kind
from lacuna_server.workspace.excerpts import Excerpt, as_comment, excerpts
from lacuna_server.workspace.index import Stats, WorkspaceIndex
from lacuna_server.workspace.indexer import Indexer
from lacuna_server.workspace.references import Place, RelatedDefinition, Why, related
from lacuna_server.workspace.similar import similar

__all__ = [
    "Definition",
    "DocumentContext",
    "DocumentContexts",
    "Excerpt",
    "Indexer",
    "Kind",
    "Place",
    "RelatedDefinition",
    "Stats",
    "Why",
    "WorkspaceIndex",
    "as_comment",
    "excerpts",
    "related",
    "similar",
]
